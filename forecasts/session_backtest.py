"""What forecasts of sessions are worth: each made at plug-in, or hours later, with what was known at that moment."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from forecasts.local_days import is_off_day, local_dates, local_times
from forecasts.series import FloatArray
from forecasts.sessions import Arrived, SessionModel, completed_before

LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
HOURS = (0, 1, 2, 4, 8)  # after plug-in
LAST = 10  # sessions of a driver that are looked at
PART_OF_DAY_H = 3
DRIVER, BY_HOUR, USER, SIMILAR = "driver's own input", "median of the hour", "driver's last ten", "similar sessions"


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Of a whole stay, one value a level of `LEVELS`; a model that knows one value gives it at every level."""

    stay_h: FloatArray
    energy_kwh: FloatArray


Model = Callable[[Arrived, float, float], Quantiles | None]
"""(what is known at plug-in, hours since, kWh taken since) → what is believed, None where the model has no answer."""
Seen = Callable[[int, int], tuple[Arrived, float]]
"""(position of a session, hours after plug-in) → what was said of it by then, and the kWh that it had taken."""


@dataclass(frozen=True, slots=True)
class Place:
    """Whose clock and holidays hold, what is believed before anything is known, and how far back models look."""

    time_zone: str
    country: str | None = None
    subdivision: str | None = None
    default_stay_h: float = 8.0
    default_energy_kwh: float = 20.0
    look_back: timedelta | None = None  # None: to the first session


def session_scores(
    sessions: pd.DataFrame,
    *,
    place: Place,
    days: Iterable[date],
    least_kwh: float = 0.0,
    seen: Seen | None = None,
    progress: Callable[[int, int], object] = lambda *_: None,
) -> pd.DataFrame:
    """A row a model and hour after plug-in, over the sessions that arrive on local `days` and are still there.

    `sessions` has the columns of `forecasts.sessions.SessionModel`; models see what had ended before the local day of
    arrival. Those that took less than `least_kwh` are known and not scored. Without `seen`, a column `max_kw` is
    needed: a driver said everything at arrival, and energy taken after some hours is that of full power, for files
    have no more than its total. SMAPE is mean |y - f| / (|y| + |f|); pinball in hours and kWh; coverage of the 90 %
    quantile of energy, and of the 10 % quantile of the stay (how many stay at least as long). Empty without sessions.
    """
    found: dict[tuple[int, str], list[tuple[float, float, Quantiles]]] = {}
    dates = local_dates(pd.DatetimeIndex(sessions["arrival"]), place.time_zone)
    rows = [{str(name): value for name, value in row.items()} for row in sessions.to_dict("records")]
    seen = seen or _as_filed(rows)
    scored = sessions["energy_kwh"].to_numpy(dtype=float) >= least_kwh
    targets = list(days)
    for number, day in enumerate(targets):
        progress(number, len(targets))
        arriving = np.flatnonzero((dates == np.datetime64(day, "D")) & scored)
        if not arriving.size:
            continue
        models = _models(sessions, place, datetime.combine(day, time(), ZoneInfo(place.time_zone)))
        for position in arriving.tolist():
            stay_h, energy_kwh = _hours(rows[position]), float(str(rows[position]["energy_kwh"]))
            for hour in (hour for hour in HOURS if hour < stay_h):
                said, taken_kwh = seen(position, hour)
                for name, model in models.items():
                    if (believed := model(said, float(hour), taken_kwh)) is not None:
                        found.setdefault((hour, name), []).append((stay_h, energy_kwh, believed))
    progress(len(targets), len(targets))
    table = [
        {"hour": hour, "model": name, **_scores(some)}
        for (hour, name), some in sorted(found.items(), key=lambda item: item[0][0])
    ]
    return pd.DataFrame(table)


def _as_filed(rows: list[dict[str, object]]) -> Seen:
    def seen(position: int, hour: int) -> tuple[Arrived, float]:
        row = rows[position]
        return arrived(row), min(float(str(row["energy_kwh"])), hour * float(str(row["max_kw"])))

    return seen


def arrived(row: dict[str, object]) -> Arrived:
    """What a row of a file says of a car at its arrival."""
    stated, requested = row.get("stated_departure"), row.get("requested_kwh")
    return Arrived(
        arrival=pd.Timestamp(str(row["arrival"])).to_pydatetime(),
        user_id=_text(row.get("user_id")),
        evse_id=_text(row.get("evse_id")),
        stated_departure=stated.to_pydatetime() if isinstance(stated, pd.Timestamp) else None,
        requested_kwh=requested if isinstance(requested, float) and np.isfinite(requested) else None,
    )


def _models(sessions: pd.DataFrame, place: Place, issued_at: datetime) -> dict[str, Model]:
    if place.look_back is not None:
        sessions = sessions.loc[sessions["arrival"] >= pd.Timestamp(issued_at - place.look_back)]
    known = completed_before(sessions, issued_at, place.time_zone)
    similar = SessionModel(
        known,
        time_zone=place.time_zone,
        issued_at=issued_at,
        country=place.country,
        subdivision=place.subdivision,
        default_stay_h=place.default_stay_h,
        default_energy_kwh=place.default_energy_kwh,
    )
    past = _Past.of(known, place.time_zone)

    def believes(said: Arrived, hour: float, taken_kwh: float) -> Quantiles:
        belief = similar.belief(said).given(said.arrival + timedelta(hours=hour), taken_kwh)
        return Quantiles(
            np.array([belief.stay_quantile_h(q) for q in LEVELS]),
            np.array([belief.energy_quantile_kwh(q) for q in LEVELS]),
        )

    def states(said: Arrived, hour: float, _: float) -> Quantiles | None:
        if hour or said.stated_departure is None or said.requested_kwh is None:
            return None
        stay_h = max(0.0, (said.stated_departure - said.arrival) / timedelta(hours=1))
        return Quantiles(np.full(len(LEVELS), stay_h), np.full(len(LEVELS), said.requested_kwh))

    return {
        DRIVER: states,
        BY_HOUR: lambda said, hour, _: None if hour else past.by_hour(said),
        USER: lambda said, hour, _: None if hour else past.of_driver(said),
        SIMILAR: believes,
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Past:
    """The two naive models: quantiles of an hour's sessions, and of a driver's last ones."""

    time_zone: str
    hour: FloatArray
    off: np.ndarray
    user: np.ndarray
    stay_h: FloatArray
    energy_kwh: FloatArray

    @classmethod
    def of(cls, known: pd.DataFrame, time_zone: str) -> "_Past":
        arrival = pd.DatetimeIndex(known["arrival"])
        local = local_times(arrival, time_zone)
        return cls(
            time_zone,
            np.asarray(local.hour, dtype=float),
            is_off_day(local_dates(arrival, time_zone), None),
            known["user_id"].to_numpy(dtype=object) if "user_id" in known else np.full(len(known), None),
            np.asarray((pd.DatetimeIndex(known["departure"]) - arrival) / pd.Timedelta(hours=1), dtype=float),
            known["energy_kwh"].to_numpy(dtype=float),
        )

    def by_hour(self, said: Arrived) -> Quantiles | None:
        hour, _ = self._when(said)
        same = self.hour == hour
        return self._quantiles(np.flatnonzero(same if same.any() else np.ones_like(same)))

    def of_driver(self, said: Arrived) -> Quantiles | None:
        """The last ten of the same part of the same kind of day; of the driver; None for who is not known."""
        if said.user_id is None:
            return None
        own = self.user == said.user_id
        hour, off = self._when(said)
        like = own & (self.off == off) & (self.hour // PART_OF_DAY_H == hour // PART_OF_DAY_H)
        return self._quantiles(np.flatnonzero(like if like.any() else own)[-LAST:])

    def _when(self, said: Arrived) -> tuple[float, bool]:
        arrival = pd.DatetimeIndex([pd.Timestamp(said.arrival).tz_convert("UTC")])
        return float(local_times(arrival, self.time_zone).hour[0]), bool(
            is_off_day(local_dates(arrival, self.time_zone), None)[0]
        )

    def _quantiles(self, chosen: np.ndarray) -> Quantiles | None:
        if not chosen.size:
            return None
        return Quantiles(np.quantile(self.stay_h[chosen], LEVELS), np.quantile(self.energy_kwh[chosen], LEVELS))


def _scores(seen: list[tuple[float, float, Quantiles]]) -> dict[str, float]:
    stay_h, energy_kwh = np.array([stay for stay, _, _ in seen]), np.array([kwh for _, kwh, _ in seen])
    stays, energies = np.stack([one.stay_h for *_, one in seen]), np.stack([one.energy_kwh for *_, one in seen])
    middle = LEVELS.index(0.5)
    return {
        "sessions": len(seen),
        "stay_smape": _smape(stay_h, stays[:, middle]),
        "stay_mae_h": float(np.abs(stay_h - stays[:, middle]).mean()),
        "stay_pinball_h": _pinball(stay_h, stays),
        "stay_above_p10": float((stay_h >= stays[:, 0]).mean()),
        "energy_smape": _smape(energy_kwh, energies[:, middle]),
        "energy_mae_kwh": float(np.abs(energy_kwh - energies[:, middle]).mean()),
        "energy_pinball_kwh": _pinball(energy_kwh, energies),
        "energy_below_p90": float((energy_kwh <= energies[:, -1]).mean()),
    }


def _smape(truth: FloatArray, forecast: FloatArray) -> float:
    scale = np.abs(truth) + np.abs(forecast)
    return float(np.mean(np.divide(np.abs(truth - forecast), scale, out=np.zeros_like(scale), where=scale > 0)))


def _pinball(truth: FloatArray, quantiles: FloatArray) -> float:
    over = truth[:, None] - quantiles
    level = np.array(LEVELS)
    return float(np.maximum(level * over, (level - 1) * over).mean())


def _hours(row: dict[str, object]) -> float:
    return float((pd.Timestamp(str(row["departure"])) - pd.Timestamp(str(row["arrival"]))) / pd.Timedelta(hours=1))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
