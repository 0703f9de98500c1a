"""SunSpec meters, models 201 to 204: how they are found among a device's registers, and what they say. Pure.

Offsets are those of the SunSpec Information Models (model_201 to model_204, integers with scale factors; they share the
first 21 points): after the model's id and length come A, AphA, AphB, AphC, A_SF, nine voltages, Hz, Hz_SF, W, WphA,
WphB, WphC, W_SF.
"""

from collections.abc import Sequence

from app.meters.shown import MeterError, Shown

BASES = (40_000, 50_000, 0)
MARKER = [0x5375, 0x6E53]  # "SunS"
END = 0xFFFF
METERS = (201, 202, 203, 204)
MOST_MODELS = 64
POINTS = 21

_A, _A_SF, _W, _W_SF = 0, 4, 16, 20
_NOT_THERE = 0x8000


def shown_by(registers: Sequence[int], *, invert: bool = False) -> Shown:
    """The first `POINTS` registers behind a model's header. Raises `MeterError` where it has no power.

    A current is taken by its amount: many meters give it no direction, and against a fuse the amount counts.
    """
    if len(registers) < POINTS:
        raise MeterError(f"{len(registers)} registers are no SunSpec meter")
    power_w = _scaled(registers[_W], registers[_W_SF])
    if power_w is None:
        raise MeterError("it has no total power")
    currents = {
        phase: _scaled(registers[_A + number], registers[_A_SF]) for number, phase in enumerate(("L1", "L2", "L3"), 1)
    }
    by_phase = {phase: abs(current_a) for phase, current_a in currents.items() if current_a is not None}
    return Shown((-power_w if invert else power_w) / 1000, by_phase)


def _scaled(value: int, exponent: int) -> float | None:
    if _NOT_THERE in (value, exponent):
        return None
    return float(_signed(value) * 10.0 ** _signed(exponent))


def _signed(register: int) -> int:
    return register - 0x10000 if register >= 0x8000 else register
