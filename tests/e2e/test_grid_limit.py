"""A grid operator's order reaches what the cars draw, over real OCPP, and leaves a proof."""

from datetime import timedelta
from pathlib import Path

from tests.e2e.stepped import Model, SteppedDepot, a_stepped_depot

STATIONS = {"cs01": Model("1.6"), "cs02": Model("2.0.1"), "cs03": Model("1.6")}
LIMIT_KW = 8.4
KW_PER_A = 3 * 0.23


def drawn_kw(depot: SteppedDepot) -> float:
    return sum(depot.drawn_a(key) for key in depot.outlets) * KW_PER_A


async def test_an_order_holds_within_seconds_and_until_its_end(tmp_path: Path) -> None:
    async with a_stepped_depot(tmp_path, STATIONS, fuse_a=80) as depot:
        for station_id in STATIONS:
            await depot.arrive(station_id, wants_kwh=30, hours=3)
        await depot.pass_time(minutes=2)
        before_kw = drawn_kw(depot)
        end = depot.clock.now() + timedelta(minutes=30)

        order = {"max_kw": LIMIT_KW, "end": end.isoformat(), "source": "dso", "reference": "42"}
        placed = await depot.send("POST", f"/v1/sites/{depot.site.id}/grid-limits", order)
        held_after_s = 0
        while drawn_kw(depot) > LIMIT_KW and held_after_s < 60:
            await depot.pass_time(seconds=1)
            held_after_s += 1
        held_kw = []
        for _ in range(28):
            await depot.pass_time(minutes=1)
            held_kw.append(drawn_kw(depot))
        await depot.pass_time(minutes=4)
        after_kw = drawn_kw(depot)
        proof = await depot.get(f"/v1/sites/{depot.site.id}/grid-limits/{placed['id']}")

    assert before_kw > 2 * LIMIT_KW
    assert held_after_s <= 20
    assert max(held_kw) <= LIMIT_KW + 0.01
    assert max(held_kw) > 4  # it is used
    assert after_kw > 2 * LIMIT_KW
    assert [entry["what"] for entry in proof["log"]] == ["received", "planned", "ended"]
