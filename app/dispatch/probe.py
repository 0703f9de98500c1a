"""Finds out by trial what a station takes: harmless, step by step, and each step undone before the next.

A probe is a TxDefaultProfile above everything of ours, at no more than what holds already, that ends by itself after
minutes. So the worst that a lost answer leaves behind is a low limit for minutes, at an EVSE without a vehicle.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from app.clock import Clock
from app.csms.composite import report_steps
from app.csms.connector import CsmsConnector, Kind, Passport, PauseMethod, Purpose, RateUnit
from app.csms.corrections import Corrections
from app.csms.limits import LEAST_CURRENT_A
from app.csms.profiles import START_AHEAD_S, compile_steps
from app.csms.readback import read_back
from app.csms.steps import Steps
from app.db.records import Json
from app.db.store import Store
from app.dispatch.in_force import Book, Wiring, wiring_of
from app.dispatch.passports import Passports
from app.errors import (
    CallFailedError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    OutcomeUnknownError,
    ProfileRejectedError,
    StationOfflineError,
)
from app.site import Site, evse_key

PROBE_PROFILE_ID = 900  # plus the EVSE's number
LASTS = timedelta(minutes=5)
LOW_A = 10.0  # A per phase at most; enough to tell a decimal from a minimum
MANY_PERIODS = 24
FEWER_PERIODS = (5, 2)


@dataclass(frozen=True, slots=True)
class ProbeStep:
    """One profile: what was asked, what the station answered, what it then reported, and whether it is gone again."""

    name: str
    limits_a: tuple[float, ...]
    unit: RateUnit
    kind: Kind
    answer: str
    reported: str | None = None
    cleared: str | None = None

    @property
    def works(self) -> bool:
        """Accepted, and not contradicted by the station's own report."""
        return self.answer == "accepted" and self.reported != "contradicted"

    def as_json(self) -> Json:
        return {
            "name": self.name,
            "limits_a": list(self.limits_a),
            "unit": self.unit.value,
            "kind": self.kind.value,
            "answer": self.answer,
            "reported": self.reported,
            "cleared": self.cleared,
        }


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """`ended_early` says why not everything was tried."""

    station_id: str
    evse_id: int
    at: datetime
    low_a: float
    steps: tuple[ProbeStep, ...]
    found: Corrections
    ended_early: str | None


@dataclass(slots=True)
class _Bench:
    """The EVSE that is tried, and what became of it so far."""

    station_id: str
    evse_id: int
    wiring: Wiring
    passport: Passport
    low_a: float
    steps: list[ProbeStep] = field(default_factory=list)

    @property
    def working(self) -> Iterator[ProbeStep]:
        return (step for step in self.steps if step.works)


class _StopError(Exception):
    """Nothing more is sent; the text says why."""


class Prober:
    """One station at a time; the caller sees to it that nobody else sends to it meanwhile."""

    def __init__(self, connector: CsmsConnector, store: Store, clock: Clock, book: Book, passports: Passports) -> None:
        self._connector = connector
        self._store = store
        self._clock = clock
        self._book = book
        self._passports = passports

    async def probe(self, site: Site, station_id: str) -> ProbeReport:
        """Try the station's first EVSE, and keep what was found out.

        Raises `ConflictError` where that is not harmless: in shadow mode, during a transaction, while a plan is
        installed, and at stations that have no level above the fallback's. Raises `StationError`s before the first
        step; after it they end the probe.
        """
        bench, at = await self._bench(site, station_id), self._clock.now()
        ended_early = None
        try:
            await self._try_all(bench)
        except _StopError as stop:
            ended_early = str(stop)
        found = _found(bench)
        report = ProbeReport(station_id, bench.evse_id, at, bench.low_a, tuple(bench.steps), found, ended_early)
        await self._passports.keep_probe(station_id, found, at, [step.as_json() for step in bench.steps])
        return report

    async def _bench(self, site: Site, station_id: str) -> _Bench:
        document = site.station(station_id)
        if document is None:
            raise NotFoundError("charging station", station_id)
        evse_id = document.evses[0].id
        wiring = wiring_of(site, station_id, evse_id)
        if wiring is None:
            raise NotFoundError("evse", evse_key(station_id, evse_id))
        if site.mode != "optimised":
            raise ConflictError(f"site {site.id} is in shadow mode: nothing is sent")
        if station_id not in self._connector.connected():
            raise StationOfflineError(station_id)
        await self._refuse_during_transactions(station_id)
        passport = await self._passports.read(site, station_id)
        if passport.max_stack_level < 1 or Purpose.TX_DEFAULT not in passport.purposes:
            raise ConflictError(f"{station_id} has no stack level above its fallback's: a probe would replace it")
        now, key = self._clock.now(), evse_key(station_id, evse_id)
        if any(held is not None for held in self._book.holding(key).candidates) and (self._book.end(key) or now) > now:
            raise ConflictError(f"{station_id} holds a plan: a probe would hide it")
        holds_a = min(self._book.below_a(key, wiring), await self._reported_a(station_id, evse_id, wiring))
        return _Bench(station_id, evse_id, wiring, passport, min(LOW_A, holds_a))

    async def _try_all(self, bench: _Bench) -> None:
        low_a, other_a = bench.low_a, bench.low_a - 1
        for unit in (RateUnit.A, RateUnit.W):
            await self._try(bench, f"limits in {unit}", [low_a], unit)
        works = next((step.unit for step in bench.working), None)
        if works is None:
            raise _StopError("it takes limits in neither unit")
        if low_a > 0:
            takes_zero = await self._try(bench, "a limit of 0", [0.0], works)
            if low_a - 0.5 >= LEAST_CURRENT_A and works is RateUnit.A:
                await self._try(bench, "a decimal", [low_a - 0.5], works)
            if other_a < LEAST_CURRENT_A:
                other_a = 0.0 if takes_zero else low_a
        await self._try(bench, "a Relative profile", [low_a], works, Kind.RELATIVE)
        if 0 <= other_a < low_a:
            most = min(bench.passport.max_periods, MANY_PERIODS)
            for periods in dict.fromkeys(count for count in (most, *FEWER_PERIODS) if 1 < count <= most):
                limits_a = [low_a if number % 2 == 0 else other_a for number in range(periods)]
                if await self._try(bench, f"{periods} periods", limits_a, works):
                    break

    async def _try(
        self,
        bench: _Bench,
        name: str,
        limits_a: Sequence[float],
        unit: RateUnit,
        kind: Kind = Kind.ABSOLUTE,
    ) -> bool:
        await self._refuse_during_transactions(bench.station_id, begun=True)
        now = self._clock.now().replace(microsecond=0)
        start = now - timedelta(seconds=START_AHEAD_S)
        piece = (now + LASTS - start) / len(limits_a)
        moments = tuple((start + piece * number).replace(microsecond=0) for number in range(len(limits_a)))
        as_if = replace(
            bench.passport,
            units=frozenset({unit}),
            kinds=frozenset({kind}),
            max_periods=len(limits_a),
            decimals=1,
            min_limit_a=0.0,
            pause=PauseMethod.ZERO,
        )
        profile = compile_steps(
            Steps(moments, tuple(limits_a), now + LASTS),
            passport=as_if,
            purpose=Purpose.TX_DEFAULT,
            stack_level=bench.passport.max_stack_level,
            profile_id=PROBE_PROFILE_ID + bench.evse_id,
            transaction_id=None,
            electrics=bench.wiring.electrics(None),
            unit=unit,
        ).profile
        step = ProbeStep(name, tuple(limits_a), unit, kind, "accepted")
        try:
            await self._connector.set_charging_profile(bench.station_id, bench.evse_id, profile)
            verdict = await read_back(
                self._connector,
                bench.station_id,
                bench.evse_id,
                profile,
                now=self._clock.now(),
                voltage_v=bench.wiring.voltage_v,
                phases=bench.wiring.phases,
                honest=bench.passport.honest_readback,
            )
            step = replace(step, reported=verdict.state)
        except (ProfileRejectedError, CallFailedError, InvalidInputError) as error:
            step = replace(step, answer=str(error))
        except (OutcomeUnknownError, StationOfflineError) as error:
            step = replace(step, answer=str(error), cleared=await self._clear(bench))
            bench.steps.append(step)
            raise _StopError(str(error)) from error
        if step.answer == "accepted":
            step = replace(step, cleared=await self._clear(bench))
        bench.steps.append(step)
        if step.cleared not in (None, "cleared", "unknown to it"):
            raise _StopError(f"a profile could not be cleared, it ends within {LASTS}: {step.cleared}")
        return step.works

    async def _clear(self, bench: _Bench) -> str:
        try:
            known = await self._connector.clear_charging_profile(
                bench.station_id, profile_id=PROBE_PROFILE_ID + bench.evse_id
            )
        except (ProfileRejectedError, CallFailedError, OutcomeUnknownError, StationOfflineError) as error:
            return str(error)
        return "cleared" if known else "unknown to it"

    async def _reported_a(self, station_id: str, evse_id: int, wiring: Wiring) -> float:
        """The least that the station says it allows in the coming minutes; infinite where it does not say."""
        now = self._clock.now()
        try:
            reported = await self._connector.composite_schedule(
                station_id, evse_id, int(LASTS.total_seconds()), RateUnit.A
            )
        except (ProfileRejectedError, CallFailedError):
            return float("inf")
        steps = report_steps(reported, now, now + LASTS, voltage_v=wiring.voltage_v, phases=wiring.phases)
        return max(0.0, min(steps.values))

    async def _refuse_during_transactions(self, station_id: str, *, begun: bool = False) -> None:
        running = await self._store.transactions(station_id=station_id, running=True)
        if not any(row.station_id == station_id for row in running):
            return
        text = f"a transaction runs at {station_id}"
        raise _StopError(text) if begun else ConflictError(text)


def _found(bench: _Bench) -> Corrections:
    """What the steps prove. A report that contradicts what was accepted proves nothing but that the form is no use."""
    by_name = {step.name: step for step in bench.steps}
    units = tuple(unit for unit in RateUnit if (step := by_name.get(f"limits in {unit}")) and step.works)
    if not units:
        return Corrections()
    zero, decimal = by_name.get("a limit of 0"), by_name.get("a decimal")
    relative = by_name.get("a Relative profile")
    adds_relative = relative is not None and relative.answer == "accepted" and relative.reported == "applied"
    periods = [len(step.limits_a) for step in bench.steps if step.name.endswith(" periods")]
    taken = [len(step.limits_a) for step in bench.working if step.name.endswith(" periods")]
    declined_some = bool(periods) and periods[0] not in taken
    return Corrections(
        units=units,
        kinds=tuple(sorted(bench.passport.kinds | {Kind.RELATIVE})) if adds_relative else None,
        decimals=None if decimal is None else (1 if decimal.works else 0),
        pause=None if zero is None else (PauseMethod.ZERO if zero.works else PauseMethod.MINIMUM),
        min_limit_a=None if zero is None or zero.works else LEAST_CURRENT_A,
        max_periods=max(taken, default=1) if declined_some else None,
        honest_readback=True if any(step.reported == "applied" for step in bench.steps) else None,
    )
