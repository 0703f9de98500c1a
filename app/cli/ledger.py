"""`smartcharge runs`, `replay` and `why`: the ledgers, from the database that the settings name."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar

import typer

FAILED = 1
WIDTH = 160  # a plan's id is to be copied, so it is never folded
T = TypeVar("T")


def runs_command(
    site: Annotated[str | None, typer.Option(help="Only of this site.")] = None,
    state: Annotated[list[str] | None, typer.Option(help="Only in this state; may be repeated.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
    forgive: Annotated[
        str | None, typer.Option(metavar="SITE", help="Have a site solved again whose planning has ended processes.")
    ] = None,
) -> None:
    """Who planned which site for which moment, what became of it, and why."""
    from app.api.runs import RunOut
    from app.errors import NotFoundError

    async def work(store: Any) -> Any:
        if forgive is not None and not await store.forgive_site(forgive):
            raise NotFoundError("poisoned site", forgive)
        return [RunOut.of(run) for run in await store.runs(site, states=_states(state or ()), limit=limit)]

    found = _with_store(work)
    if as_json:
        _print_json([run.model_dump(mode="json") for run in found])
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("Window (UTC)", "Site", "Kind", "State", "Tries", "Fence", "Plan", "Reason", box=None, pad_edge=False)
    for run in found:
        table.add_row(
            f"{run.window:%Y-%m-%d %H:%M:%S}",
            run.site_id,
            run.kind,
            run.state,
            str(run.attempts),
            str(run.fence),
            run.schedule_id or "–",
            run.reason or "",
        )
    Console(width=max(WIDTH, Console().width)).print(table)


def replay_command(
    plan: Annotated[str, typer.Argument(help="A plan's id, as `smartcharge runs` lists it.")],
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Make a plan again from the decision ledger, and compare bit by bit. Nothing is saved or sent."""
    from dataclasses import asdict

    from app.planning.replay import replay

    async def work(store: Any) -> Any:
        return replay(await store.plan(plan), await store.decision(plan))

    again = _with_store(work)
    if as_json:
        _print_json(asdict(again) | {"same": again.is_same, "verdict": again.verdict})
    else:
        _say(f"Plan {plan}: {again.verdict}.")
        for difference in again.differences:
            _say(f"  {difference}")
        if again.more:
            _say(f"  and {again.more} more")
    if not again.is_same:
        raise typer.Exit(FAILED)


def why_command(
    plan: Annotated[str, typer.Argument(help="A plan's id, as `smartcharge runs` lists it.")],
    evse: Annotated[str, typer.Option(help="Station and EVSE, e.g. cs01/1.")],
    at: Annotated[str | None, typer.Option(help="A moment with its offset, 2026-06-01T03:00+02:00; else now.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Why an EVSE charges at a moment of a plan, or does not, and what would change it."""
    from app.clock import SystemClock
    from app.planning.why import answer as ask

    moment = SystemClock().now() if at is None else _moment(at)

    async def work(store: Any) -> Any:
        return await ask(store, await store.plan(plan), evse, moment)

    answer = _with_store(work)
    if as_json:
        _print_json(answer.model_dump(mode="json"))
        return
    _say(answer.text)
    for change in answer.changes:
        _say(f"  {change.text}")


def _moment(text: str) -> datetime:
    from app.errors import InvalidInputError

    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInputError("at", f"{text!r} is no moment: {error}") from error
    if moment.tzinfo is None:
        raise InvalidInputError("at", f"{text!r} has no offset, such as +02:00 or Z")
    return moment


def _states(names: Any) -> Any:
    from typing import get_args

    from app.db.ledger_records import RunState
    from app.errors import InvalidInputError

    for name in names:
        if name not in get_args(RunState):
            raise InvalidInputError("state", f"{name!r} is none of {', '.join(get_args(RunState))}")
    return tuple(names)


def _with_store(work: Callable[[Any], Awaitable[T]]) -> T:
    from app import logs
    from app.main import open_store
    from app.settings import Settings

    logs.configure("ERROR")

    async def run() -> T:
        async with open_store(Settings()) as store:
            return await work(store)

    return asyncio.run(run())


def _print_json(document: Any) -> None:
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")


def _say(text: str) -> None:
    from rich.console import Console

    Console(soft_wrap=True).print(text, highlight=False, markup=False)
