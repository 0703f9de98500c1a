"""Commands to batteries and inverters, on both databases."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from app.db.operating_records import ActuatorCommand
from app.db.store import Store
from app.retention import keep_no_longer

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def a_command(command_id: str = "one", **changed: Any) -> ActuatorCommand:
    until = NOW + 5 * MINUTE
    command = ActuatorCommand(command_id, "depot", "battery/store", "me", "plan", NOW, until, -4.5, "planned")
    return replace(command, **changed)


async def test_what_was_sent_is_read_with_what_became_of_it_newest_first(store: Store) -> None:
    await store.add_actuator_command(a_command())
    await store.add_actuator_command(a_command("two", at=NOW + MINUTE, power_kw=None, plan_id=None))
    await store.add_actuator_command(a_command("other", device_id="pv/roof"))

    await store.settle_actuator_command("one", "verified", -4.49, None)
    found = await store.actuator_commands("depot", device_id="battery/store")

    assert [row.command_id for row in found] == ["two", "one"]
    assert found[1] == a_command(state="verified", read_back_kw=-4.49)
    assert found[0].power_kw is None


async def test_those_that_may_still_hold_are_found(store: Store) -> None:
    await store.add_actuator_command(a_command())
    await store.add_actuator_command(a_command("two", valid_until=NOW + 9 * MINUTE))

    found = await store.actuator_commands("depot", holding_at=NOW + 5 * MINUTE)

    assert [row.command_id for row in found] == ["two"]


async def test_old_ones_are_dropped_with_the_sites_history(store: Store) -> None:
    await store.add_actuator_command(a_command())
    await store.add_actuator_command(a_command("two", valid_until=NOW + 9 * MINUTE))

    counts = await keep_no_longer(store, history_before=NOW + 6 * MINUTE)

    assert counts["actuator_commands"] == 1
    assert [row.command_id for row in await store.actuator_commands("depot")] == ["two"]
