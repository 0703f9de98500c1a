"""The run ledger: who plans which site for which moment, with leases, fencing tokens, and what ended processes."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import uuid4

from sqlalchemy import ColumnElement, and_, case, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.crash_points import crash_point
from app.db import ledger_tables, tables
from app.db.decision_rows import insert_decision
from app.db.ledger_records import Claim, Decision, PoisonedSite, Run, RunState
from app.db.records import Plan, PlanKind
from app.db.rows import Rows, columns_of, record_of, values_of
from app.errors import OvertakenError

RUNS, FENCES, POISONED = ledger_tables.runs, ledger_tables.fences, ledger_tables.poisoned_sites
PLANS = tables.plans
UNENDED = RUNS.c.ended_at.is_(None)
DIED = "the process that planned it has ended"
DIED_SENDING = "the process that sent its plan has ended"


class RunRows(Rows):
    async def open_runs(self, kind: PlanKind, due: Mapping[str, datetime], now: datetime) -> None:
        """Have one run of each site open for the moment it is due at; others that nobody has begun and that lie ahead
        are withdrawn, as are those of sites that are not named."""
        rows = [values_of(Run(uuid4().hex, site_id, kind, window, "open", now)) for site_id, window in due.items()]
        ahead = select(RUNS.c.run_id, RUNS.c.site_id, RUNS.c.window).where(
            UNENDED, RUNS.c.kind == kind, RUNS.c.state == "open", RUNS.c.attempts == 0, RUNS.c.window > now
        )
        async with self._database.write() as connection:
            stored = (await connection.execute(ahead)).all()
            there = {(row.site_id, row.window) for row in stored}
            for row in stored:
                if due.get(row.site_id) != row.window:
                    await connection.execute(delete(RUNS).where(RUNS.c.run_id == row.run_id, RUNS.c.state == "open"))
            new = [row for row in rows if (row["site_id"], row["window"]) not in there]
            if new:
                insert = self._database.insert(RUNS).on_conflict_do_nothing()
                await connection.execute(insert, new)

    async def unended_runs(self, kind: PlanKind, now: datetime) -> list[Run]:
        """Runs of the past that are not ended: free, or claimed until their `lease_until`. By window and site."""
        unended = (
            select(*columns_of(RUNS, Run))
            .where(UNENDED, RUNS.c.kind == kind, RUNS.c.window <= now)
            .order_by(RUNS.c.window, RUNS.c.site_id)
        )
        async with self._database.read() as connection:
            return [record_of(Run, row) for row in (await connection.execute(unended)).all()]

    async def claim_run(
        self, site_id: str, kind: PlanKind, window: datetime, *, owner: str, now: datetime, lease_until: datetime
    ) -> Claim | None:
        """The run with a new fencing token, or None: it is ended, or somebody else is at work on it.

        A run whose owner, another one, let its lease end while planning counts as a death of the site's planning.
        """
        async with self._database.write() as connection:
            deaths = await self._bury(connection, site_id, owner, now)
            opened = Run(uuid4().hex, site_id, kind, window, "open", now)
            await connection.execute(self._database.insert(RUNS).values(values_of(opened)).on_conflict_do_nothing())
            stored = (
                select(*columns_of(RUNS, Run))
                .where(RUNS.c.site_id == site_id, RUNS.c.window == window, RUNS.c.kind == kind)
                .with_for_update()
            )
            run = record_of(Run, (await connection.execute(stored)).one())
            is_free = run.ended_at is None and (
                run.state == "open" or run.lease_until is None or run.lease_until <= now
            )
            if not is_free:
                return None
            deaths += run.state == "running" and run.owner != owner
            if deaths:
                await self._add_deaths(connection, site_id, deaths, now)
            claimed = (
                update(RUNS)
                .where(RUNS.c.run_id == run.run_id)
                .values(
                    state="running",
                    attempts=RUNS.c.attempts + 1,
                    fence=await self._next_fence(connection, site_id),
                    owner=owner,
                    lease_until=lease_until,
                    began_at=now,
                )
                .returning(*columns_of(RUNS, Run))
            )
            mine = record_of(Run, (await connection.execute(claimed)).one())
            return Claim(mine, await _poisoned(connection, site_id))

    async def renew_run(self, run: Run, lease_until: datetime) -> bool:
        """Whether the run is still the caller's."""
        return await self._change(run, ("running", "planned"), lease_until=lease_until)

    async def release_run(self, run: Run) -> bool:
        """Give a run back that was not finished, for another to continue. False: it is no longer the caller's."""
        return await self._change(run, ("running", "planned"), state="open", owner=None, lease_until=None)

    async def end_run(self, run: Run, state: RunState, reason: str | None, now: datetime) -> bool:
        """False: it is no longer the caller's."""
        return await self._change(
            run, ("running", "planned"), state=state, reason=reason, ended_at=now, lease_until=None
        )

    async def save_plan_of_run(self, plan: Plan, run: Run, decision: Decision | None = None) -> None:
        """The plan, what it was made from, and that the run has it: all or nothing.

        Raises `OvertakenError` where another has claimed the run.
        """
        row = values_of(plan)
        insert = self._database.insert(PLANS).values(row)
        mine = update(RUNS).where(RUNS.c.run_id == run.run_id, RUNS.c.fence == run.fence, RUNS.c.state == "running")
        async with self._database.write() as connection:
            changed = await connection.execute(mine.values(state="planned", plan_id=plan.plan_id))
            if changed.rowcount == 0:
                raise OvertakenError(f"the run of site {run.site_id!r} was taken over: its plan is dropped")
            await connection.execute(insert.on_conflict_do_update(index_elements=["plan_id"], set_=row))
            if decision is not None:
                await insert_decision(connection, decision)
            crash_point("plan.before_commit")
        crash_point("plan.after_commit")

    async def admit_plan(self, plan_id: str) -> bool:
        """Whether a plan may be sent: no plan of its site with a newer token was. It is the newest sent from then on.

        A plan that belongs to no run may.
        """
        async with self._database.write() as connection:
            stored = select(RUNS.c.site_id, RUNS.c.fence).where(RUNS.c.plan_id == plan_id)
            run = (await connection.execute(stored)).one_or_none()
            if run is None:
                return True
            seen = update(FENCES).where(FENCES.c.site_id == run.site_id, FENCES.c.seen <= run.fence)
            return (await connection.execute(seen.values(seen=run.fence))).rowcount > 0

    async def miss_runs(self, run_ids: Collection[str], reason: str, now: datetime) -> None:
        """End runs that nobody is at work on: a later one makes good for them."""
        missed = update(RUNS).where(RUNS.c.run_id.in_(run_ids), UNENDED, _is_free(now))
        async with self._database.write() as connection:
            await connection.execute(missed.values(state="missed", reason=reason, ended_at=now))

    async def runs(
        self,
        site_id: str | None = None,
        *,
        kind: PlanKind | None = None,
        states: Sequence[RunState] = (),
        limit: int = 100,
    ) -> list[Run]:
        """Newest window first."""
        wanted = select(*columns_of(RUNS, Run))
        if site_id is not None:
            wanted = wanted.where(RUNS.c.site_id == site_id)
        if kind is not None:
            wanted = wanted.where(RUNS.c.kind == kind)
        if states:
            wanted = wanted.where(RUNS.c.state.in_(states))
        newest_first = wanted.order_by(RUNS.c.window.desc(), RUNS.c.site_id, RUNS.c.kind).limit(limit)
        async with self._database.read() as connection:
            return [record_of(Run, row) for row in (await connection.execute(newest_first)).all()]

    async def poisoned_sites(self) -> list[PoisonedSite]:
        """Those whose planning has ended a process since it last went well, by site."""
        async with self._database.read() as connection:
            rows = await connection.execute(select(*columns_of(POISONED, PoisonedSite)).order_by(POISONED.c.site_id))
            return [record_of(PoisonedSite, row) for row in rows.all()]

    async def add_deaths(self, site_id: str, deaths: int, now: datetime) -> None:
        async with self._database.write() as connection:
            await self._add_deaths(connection, site_id, deaths, now)

    async def forgive_site(self, site_id: str) -> bool:
        """Its planning went well, or an operator says that it will; whether anything was held against it."""
        async with self._database.write() as connection:
            forgiven = await connection.execute(delete(POISONED).where(POISONED.c.site_id == site_id))
            return forgiven.rowcount > 0

    async def drop_runs(self, before: datetime, site_id: str | None = None) -> dict[str, int]:
        """Runs that ended before."""
        old = delete(RUNS).where(RUNS.c.ended_at < before)
        if site_id is not None:
            old = old.where(RUNS.c.site_id == site_id)
        async with self._database.write() as connection:
            return {"runs": (await connection.execute(old)).rowcount}

    async def _change(self, run: Run, states: Sequence[RunState], **values: object) -> bool:
        mine = update(RUNS).where(RUNS.c.run_id == run.run_id, RUNS.c.fence == run.fence, RUNS.c.state.in_(states))
        async with self._database.write() as connection:
            return (await connection.execute(mine.values(values))).rowcount > 0

    async def _bury(self, connection: AsyncConnection, site_id: str, owner: str, now: datetime) -> int:
        """End runs of the moment whose leases ended, nobody needs them any more; how many owners died planning."""
        dead = (
            UNENDED,
            RUNS.c.site_id == site_id,
            RUNS.c.kind != "nightly",
            RUNS.c.state.in_(("running", "planned")),
            RUNS.c.lease_until <= now,
        )
        planning = select(RUNS.c.run_id).where(*dead, RUNS.c.state == "running", RUNS.c.owner != owner)
        deaths = len((await connection.execute(planning)).all())
        reason = case((RUNS.c.state == "running", DIED), else_=DIED_SENDING)
        buried = update(RUNS).where(*dead).values(state="lost", reason=reason, ended_at=now)
        await connection.execute(buried)
        return deaths

    async def _next_fence(self, connection: AsyncConnection, site_id: str) -> int:
        insert = self._database.insert(FENCES).values(site_id=site_id, issued=1, seen=0)
        upsert = insert.on_conflict_do_update(index_elements=["site_id"], set_={"issued": FENCES.c.issued + 1})
        return int((await connection.execute(upsert.returning(FENCES.c.issued))).scalar_one())

    async def _add_deaths(self, connection: AsyncConnection, site_id: str, deaths: int, now: datetime) -> None:
        insert = self._database.insert(POISONED).values(site_id=site_id, deaths=deaths, last_at=now)
        more = {"deaths": POISONED.c.deaths + deaths, "last_at": now}
        await connection.execute(insert.on_conflict_do_update(index_elements=["site_id"], set_=more))


async def _poisoned(connection: AsyncConnection, site_id: str) -> PoisonedSite | None:
    stored = select(*columns_of(POISONED, PoisonedSite)).where(POISONED.c.site_id == site_id)
    row = (await connection.execute(stored)).one_or_none()
    return None if row is None else record_of(PoisonedSite, row)


def _is_free(now: datetime) -> ColumnElement[bool]:
    """Nobody is at work on it."""
    return or_(RUNS.c.state == "open", and_(RUNS.c.state.in_(("running", "planned")), RUNS.c.lease_until <= now))
