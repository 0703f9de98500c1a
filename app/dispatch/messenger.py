"""Gets one profile to one EVSE: the first rung of the ladder that the station accepts, read back, judged."""

from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from app.clock import Clock
from app.crash_points import crash_point
from app.csms.connector import ChargingProfile, CsmsConnector, Purpose
from app.csms.profiles import Compiled, Tail
from app.csms.readback import Verdict, read_back
from app.csms.steps import Steps
from app.db.records import HELD
from app.dispatch.delivery import Job
from app.dispatch.in_force import Book, Holding, Wiring, remaining
from app.dispatch.ladder import Recipe
from app.dispatch.passports import Passports
from app.dispatch.switching import Switching
from app.errors import (
    AppError,
    CallFailedError,
    InvalidInputError,
    OutcomeUnknownError,
    ProfileRejectedError,
    StationOfflineError,
)
from app.site import split_evse_key

log = structlog.get_logger()

ABOUT_TO_END = timedelta(minutes=2)  # a report on what is left of a profile is no use then
SENDINGS = 2  # a station that reports something else is told once more, and then not believed


class Messenger:
    """Writes into the book before it sends, and again when it knows: whatever fails, the book is never too low."""

    def __init__(
        self,
        connector: CsmsConnector,
        book: Book,
        clock: Clock,
        passports: Passports,
        switching: Switching | None = None,
    ) -> None:
        self._connector = connector
        self._book = book
        self._clock = clock
        self._passports = passports
        self._next_by: dict[str, tuple[ChargingProfile, datetime]] = {}  # of profiles that end before their plan does
        self.switching = switching or Switching()
        self.budget = self.switching.budget

    def running_out(self, now: datetime) -> frozenset[str]:
        """EVSEs whose profile holds the first part of their plan, which ends soon: they need the next one."""
        for key, (profile, _) in list(self._next_by.items()):
            if self._book.holding(key).profile != profile:
                del self._next_by[key]
        return frozenset(key for key, (_, moment) in self._next_by.items() if moment <= now)

    async def lower(self, job: Job) -> None:
        """The first wave: the lower of old and new. Where that is the plan, the job is done with it."""
        if job.raises(self._book):
            await self._deliver(job, job.lowered(self._book), "lowest")
        else:
            await self.deliver_plan(job)

    async def deliver_plan(self, job: Job) -> None:
        """The second wave: the plan itself."""
        self.switching.note(job, self._book, self._clock.now())
        await self._deliver(job, job.plan, "end")
        job.is_settled = True
        crash_point("wave_2.under_way")

    async def _deliver(self, job: Job, steps: Steps, tail: Tail) -> None:
        refusal, declined = "", list[ChargingProfile]()
        for recipe in job.recipes:
            before, compiled = self._book.holding(job.key), job.compile(steps, recipe, tail)
            if compiled.profile in declined:  # a plan of two periods is the same in five as in twenty
                continue
            try:
                await self._send(job, compiled.profile)
            except (ProfileRejectedError, CallFailedError, InvalidInputError) as error:
                self._book.put(job.key, before)  # a station that declines, or was never sent it, keeps what it has
                refusal = str(error)
                declined.append(compiled.profile)
            else:
                await self._remember(job, recipe, compiled, before, was_declined=bool(declined))
                return
        job.settle("rejected", refusal)

    async def _remember(
        self, job: Job, recipe: Recipe, compiled: Compiled, before: Holding, *, was_declined: bool
    ) -> None:
        """What it took teaches how to write for it; what it takes only a part of has to be followed up in time."""
        self._next_by.pop(job.key, None)
        if job.state not in HELD:
            return
        if not compiled.covers:
            self._next_by[job.key] = (compiled.profile, compiled.send_next_by)
        try:
            if was_declined:
                await self._passports.learn(job.station_id, recipe.lesson(job.recipes[0], job.passport))
            if compiled.profile.purpose is Purpose.TX:
                await self._clear_expectation(job, before)
        except AppError as error:  # the plan itself is where it should be
            log.warning("not tidied up", evse=job.key, error=str(error))

    async def _clear_expectation(self, job: Job, before: Holding) -> None:
        """A plan from before the vehicle came would hold again when it leaves, on stations that go by the place."""
        for held in before.candidates:
            if held is not None and held.purpose is Purpose.TX_DEFAULT and held.stack_level > 0:
                await self._connector.clear_charging_profile(
                    job.station_id, evse_id=job.evse_id, purpose=held.purpose, stack_level=held.stack_level
                )

    async def _send(self, job: Job, profile: ChargingProfile) -> None:
        """Set, read back, book. Raises only where the station declined."""
        possible = self._book.holding(job.key).after_sending(profile, self._clock.now(), job.vehicle_phases)
        self._book.put(job.key, possible)
        verdict = Verdict("silent")
        for _ in range(SENDINGS):
            try:
                await self._connector.set_charging_profile(job.station_id, job.evse_id, profile)
            except StationOfflineError as error:
                job.settle("offline", str(error))
                return
            except OutcomeUnknownError as error:
                verdict = await self._ask(job, profile)
                if verdict.state != "applied":
                    job.sent = profile
                    job.settle("unknown", str(error))
                    return
            else:
                verdict = await self._ask(job, profile)
            if verdict.state != "contradicted":
                break
        self._conclude(job, profile, possible, verdict)

    def _conclude(self, job: Job, profile: ChargingProfile, possible: Holding, verdict: Verdict) -> None:
        job.sent, job.detail = profile, verdict.detail
        job.state = "accepted" if verdict.state == "silent" else verdict.state
        since = self._clock.now()
        if verdict.state == "contradicted":
            doubtful = replace(possible, state="contradicted", since=since, least_a=verdict.reported_a)
            self._book.put(job.key, doubtful)
            job.is_settled = True
        else:
            certain = Holding((profile,), job.state, since, vehicle_phases=job.vehicle_phases)
            self._book.put(job.key, certain)

    async def reread(self, key: str, wiring: Wiring) -> Verdict | None:
        """Ask again what the EVSE certainly held a while ago; None where nothing is certain of it.

        What it reports instead counts from then on, and it may hold no plan at all.
        """
        holding, (station_id, evse_id) = self._book.holding(key), split_evse_key(key)
        profile, now = holding.profile, self._clock.now()
        if profile is None or holding.state not in HELD or remaining(profile, now) < ABOUT_TO_END:
            return None
        verdict = await read_back(
            self._connector,
            station_id,
            evse_id,
            profile,
            now=now,
            voltage_v=wiring.voltage_v,
            phases=wiring.phases,
            honest=self._passports[station_id].honest_readback,
        )
        if verdict.state == "contradicted" and self._book.holding(key) == holding:
            doubtful = replace(
                holding, candidates=(None, profile), state="contradicted", since=now, least_a=verdict.reported_a
            )
            self._book.put(key, doubtful)
        return verdict

    async def _ask(self, job: Job, profile: ChargingProfile) -> Verdict:
        return await read_back(
            self._connector,
            job.station_id,
            job.evse_id,
            profile,
            now=self._clock.now(),
            voltage_v=job.wiring.voltage_v,
            phases=job.wiring.phases,
            honest=job.passport.honest_readback,
        )
