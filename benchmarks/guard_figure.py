"""Draws `guard_step`: the current after the jump, and how long it was above each multiple, in the breaker's band."""

from collections.abc import Callable, Iterable, Mapping
from math import log10

from app.demo.breaker import EARLIEST, LATEST
from app.demo.physics import Power

WIDTH, HEIGHT, TOP, LEFT = 420, 300, 40, 60
COLOURS = ("#1f77b4", "#2ca02c", "#ff7f0e", "#9467bd", "#d62728")
BAND_MULTIPLES = [1.14 + 0.02 * number for number in range(93)]
Place = Callable[[float], float]


def drawing(found: Mapping[str, Power]) -> str:
    """An SVG of two panels; `found` is multiples of the rating by the name of the run, one each second."""
    shown = [_in_time(found), _in_the_band(found)]
    parts = [f'<g transform="translate({number * (WIDTH + 120)},0)">{panel}</g>' for number, panel in enumerate(shown)]
    width, height = 2 * WIDTH + 240, HEIGHT + TOP + 60
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="12"><rect width="{width}" height="{height}" fill="white"/>{"".join(parts)}</svg>\n'
    )


def _in_time(found: Mapping[str, Power]) -> str:
    x: Place = lambda second: LEFT + second / 40 * WIDTH  # noqa: E731 -- two axes of one line each
    y: Place = lambda multiple: TOP + HEIGHT - multiple / 2.75 * HEIGHT  # noqa: E731
    drawn = [_frame("seconds after the jump", "times the rating")]
    drawn += [_tick_x(x(second), f"{second}") for second in range(0, 41, 10)]
    drawn += [_tick_y(y(multiple), f"{multiple:g}") for multiple in (0, 0.5, 1, 1.5, 2, 2.5)]
    drawn.append(_line([(x(0), y(1)), (x(40), y(1))], "#888", dashed=True))
    for colour, (name, multiples) in zip(COLOURS, found.items(), strict=True):
        steps = []
        for second, multiple in enumerate(multiples[:41]):
            steps += [(x(max(0, second - 1)), y(float(multiple))), (x(min(40, second)), y(float(multiple)))]
        drawn.append(_line(steps, colour))
        row = list(found).index(name)
        drawn.append(f'<text x="{x(24)}" y="{TOP + 18 + 16 * row}" fill="{colour}">guard period {name}</text>')
    return "".join(drawn).replace("guard period no", "no")


def _in_the_band(found: Mapping[str, Power]) -> str:
    x: Place = lambda multiple: LEFT + (multiple - 1) / 2 * WIDTH  # noqa: E731
    y: Place = lambda second: TOP + HEIGHT - (log10(max(second, 0.5)) - log10(0.5)) / 3.86 * HEIGHT  # noqa: E731
    drawn = [_frame("times the rating", "seconds at or above it")]
    drawn += [_tick_x(x(multiple), f"{multiple:g}") for multiple in (1, 1.13, 1.45, 2, 2.5, 3)]
    drawn += [_tick_y(y(second), f"{second}") for second in (1, 10, 60, 600, 3600)]
    early = [(x(one), y(min(after, 3600))) for one in BAND_MULTIPLES if (after := EARLIEST.opens_after_s(one))]
    late = [(x(one), y(min(after, 3600))) for one in BAND_MULTIPLES if (after := LATEST.opens_after_s(one))]
    corners = " ".join(f"{a:.1f},{b:.1f}" for a, b in [*early, *reversed(late)])
    drawn.append(f'<polygon points="{corners}" fill="#f4d9d9" stroke="#b66"/>')
    drawn.append(f'<text x="{x(1.62)}" y="{y(420)}" fill="#944">must have opened</text>')
    drawn.append(f'<text x="{x(1.75)}" y="{y(6)}" fill="#944">may open</text>')
    for colour, multiples in zip(COLOURS, found.values(), strict=True):
        points = []
        for step in range(160):
            multiple = 1.01 + step / 100
            seconds = int((multiples >= multiple).sum())
            if seconds:
                points.append((x(multiple), y(seconds)))
        drawn.append(_line(points, colour))
    return "".join(drawn)


def _frame(below: str, beside: str) -> str:
    middle = TOP + HEIGHT / 2
    return (
        f'<rect x="{LEFT}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#444"/>'
        f'<text x="{LEFT + WIDTH / 2}" y="{TOP + HEIGHT + 42}" text-anchor="middle">{below}</text>'
        f'<text x="16" y="{middle}" text-anchor="middle" transform="rotate(-90 16 {middle})">{beside}</text>'
    )


def _tick_x(at: float, text: str) -> str:
    return f'<text x="{at:.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{text}</text>'


def _tick_y(at: float, text: str) -> str:
    return f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{text}</text>'


def _line(points: Iterable[tuple[float, float]], colour: str, *, dashed: bool = False) -> str:
    drawn = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="1.8"{dash}/>'
