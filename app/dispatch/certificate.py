"""The fail-safe certificate: proof that no fuse is overloaded, whichever links drop, the service itself included.

Whatever is lost, an EVSE executes something that it was sent, its fallback, or, where neither is confirmed, all its
hardware allows. The largest of these, EVSE by EVSE and moment by moment, bounds every mix of lost and kept links at
once. The building counts with its maximum, no quantile. What the proof rests on is part of it, in words.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np

from app.csms.steps import Steps
from app.dispatch.fuses import PHASE_MARGIN, Floats, Fuse, Fuses

TOLERANCE = 1e-6

BaseSource = Literal["configured", "observed"]


@dataclass(frozen=True, slots=True)
class CertifiedFuse:
    """One limit at its worst moment. `holds_from`: from then on it holds for good; None: it never does."""

    circuit_id: str
    phase: str | None  # None: a limit in kW
    unit: str
    rating: float
    base: float | None
    charging: float
    worst_at: datetime
    holds_from: datetime | None

    @property
    def margin(self) -> float | None:
        """What is left at the worst moment; negative: so much too much. None: the building's part is not known."""
        return None if self.base is None else round(self.rating - self.base - self.charging, 3)


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was proven of a site at `made_at`, and of what.

    `holds_from` is `made_at` where everything is covered already; later where a plan above what is covered has not
    yet run out; None where some fuse stays exposed, or what the building draws from it is not known.
    """

    site_id: str
    made_at: datetime
    fuses: tuple[CertifiedFuse, ...]
    fallback_a: Mapping[str, float]
    unlimited: tuple[str, ...]
    isolated: tuple[str, ...]
    max_base_load_kw: float | None
    base_source: BaseSource | None
    assumptions: tuple[str, ...]

    @property
    def holds_from(self) -> datetime | None:
        moments = [fuse.holds_from for fuse in self.fuses]
        known = [moment for moment in moments if moment is not None]
        return max(known, default=self.made_at) if len(known) == len(moments) else None

    @property
    def holds(self) -> bool:
        return self.holds_from == self.made_at

    @property
    def exposed(self) -> tuple[CertifiedFuse, ...]:
        return tuple(fuse for fuse in self.fuses if fuse.holds_from != self.made_at)


def certify(
    site_id: str,
    fuses: Fuses,
    curves: Mapping[str, Steps],
    *,
    fallback_a: Mapping[str, float],
    isolated: Collection[str],
    max_base_load_kw: float | None,
    base_source: BaseSource | None,
    now: datetime,
    clocks_ahead_s: Mapping[str, float] | None = None,
    batteries_s: Mapping[str, float] | None = None,
) -> Certificate:
    """Add up `curves`, the most that each EVSE may draw (A per phase, all over the same time, from `now` on).

    An EVSE without a curve is isolated: an operator vouches that it draws nothing. `batteries_s` are those that are
    commanded, with how long they hold a command: what they charge with on their own is in `fuses` already. After the
    last curve's end everything is as at its last moment: fallbacks and hardware.
    """
    keys = [key for key in fuses.evses if key in curves]
    moments = sorted({now, *(moment for key in keys for moment in curves[key].moments if moment > now)})
    drawn_a = np.array([[curves[key].at(moment) for moment in moments] for key in keys]).reshape(
        len(keys), len(moments)
    )
    charging = fuses.load[:, fuses.columns(keys)] @ drawn_a
    return Certificate(
        site_id=site_id,
        made_at=now,
        fuses=tuple(_certified(fuse, charging[row], moments) for row, fuse in enumerate(fuses.rows)),
        fallback_a=dict(fallback_a),
        unlimited=tuple(key for key in keys if key not in fallback_a),
        isolated=tuple(sorted(isolated)),
        max_base_load_kw=max_base_load_kw,
        base_source=base_source,
        assumptions=(
            *_assumptions(fallback_a, isolated, max_base_load_kw, base_source),
            *_of_clocks(clocks_ahead_s or {}),
            *_of_batteries(batteries_s or {}),
        ),
    )


def certificate_to_json(certificate: Certificate) -> dict[str, Any]:
    """As it is stored and shown: times in ISO 8601."""
    document = asdict(certificate) | {
        "made_at": certificate.made_at.isoformat(),
        "holds": certificate.holds,
        "holds_from": _iso(certificate.holds_from),
        "fuses": [
            asdict(fuse)
            | {"margin": fuse.margin, "worst_at": fuse.worst_at.isoformat(), "holds_from": _iso(fuse.holds_from)}
            for fuse in certificate.fuses
        ],
    }
    return {
        name: dict(value) if isinstance(value, Mapping) else list(value) if isinstance(value, tuple) else value
        for name, value in document.items()
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _certified(fuse: Fuse, charging: Floats, moments: list[datetime]) -> CertifiedFuse:
    worst = int(np.argmax(charging))
    base = np.inf if fuse.base is None else fuse.base
    exposed = np.flatnonzero(base + charging > fuse.rating + TOLERANCE)
    after = int(exposed[-1]) + 1 if exposed.size else 0
    return CertifiedFuse(
        circuit_id=fuse.circuit_id,
        phase=fuse.phase,
        unit=fuse.unit,
        rating=fuse.rating,
        base=None if fuse.base is None else round(fuse.base, 3),
        charging=round(float(charging[worst]), 3),
        worst_at=moments[worst],
        holds_from=moments[after] if after < len(moments) else None,
    )


def _of_clocks(ahead_s: Mapping[str, float]) -> tuple[str, ...]:
    if not ahead_s:
        return ()
    named = [f"{station_id} {seconds:+.0f} s" for station_id, seconds in sorted(ahead_s.items())]
    return (f"these clocks go on being wrong by what their plans are shifted for: {', '.join(named)}",)


def _of_batteries(valid_s: Mapping[str, float]) -> tuple[str, ...]:
    if not valid_s:
        return ()
    named = [f"{battery_id} {seconds:g} s" for battery_id, seconds in sorted(valid_s.items())]
    return (f"batteries are on their own by their own timers, so long after their last command: {', '.join(named)}",)


def _assumptions(
    fallback_a: Mapping[str, float],
    isolated: Collection[str],
    max_base_load_kw: float | None,
    base_source: BaseSource | None,
) -> tuple[str, ...]:
    said = []
    if max_base_load_kw is None:
        said.append(
            "what the building draws at most is not known: set base_load.max_kw; the grid connection is not certified"
        )
    elif base_source == "observed":
        said.append(f"the building never draws more than {max_base_load_kw:g} kW, its highest reading and a margin")
    else:
        said.append(f"the building never draws more than the {max_base_load_kw:g} kW of the site's document")
    if max_base_load_kw is not None:
        said.append(f"no phase carries more than a third of the building's load and {PHASE_MARGIN:.0%} of that")
    if fallback_a:
        said.append("stations obey the profiles that they confirmed, and keep them when they restart")
    if isolated:
        said.append(f"an operator vouches that these draw nothing while not connected: {', '.join(sorted(isolated))}")
    return tuple(said)
