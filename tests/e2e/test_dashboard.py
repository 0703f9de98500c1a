"""The dashboard in a real browser, against the real service: what it draws is what the API says."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.e2e.browsing import Browsing
from tests.e2e.builders import Depot, Json, a_depot

pytestmark = pytest.mark.browser

PV: Json = {
    "latitude": 52.5,
    "longitude": 13.4,
    "pv_arrays": [{"id": "roof", "peak_kw": 20}],
}
BANDS = ("base load, likely", "PV, likely")
LIVE_MS = 8_000  # well under the 15 s after which the page would ask by itself


async def test_the_plan_is_drawn_with_the_apis_own_values(tmp_path: Path, browsing: Browsing) -> None:
    async with a_depot(tmp_path, **PV) as depot:
        await depot.arrive("cs01")
        await depot.arrive("cs02")
        plan = await depot.verified_plan("cs01", "cs02")
        problem, schedule = plan["problem"], plan["schedule"]

        await log_in(browsing.page, depot)
        await shows_plan(browsing.page, plan)

        drawn = {trace["name"]: trace for trace in await traces(browsing.page)}
        assert values(drawn["price"]) == problem["import_price_per_kwh"]
        assert values(drawn["base load"]) == problem["base_load_kw"]
        assert values(drawn["PV"]) == problem["pv_kw"]
        assert values(drawn["grid import"]) == schedule["import_kw"]
        assert set(values(drawn["connection limit"])) == {depot.site["connection"]["max_import_kw"]}
        for evse in ("cs01/1", "cs02/1"):
            assert values(drawn[evse]) == schedule["evses"][evse]["power_kw"]
            assert drawn[evse]["stackgroup"] == drawn["base load"]["stackgroup"]
        assert drawn["price"]["x"][0] == "2026-06-02 10:00:00"  # the site's own time
        assert all(len(trace["x"]) == problem["slots"] + 1 for name, trace in drawn.items() if name not in BANDS)
        assert {trace["name"] for trace in drawn.values()} == set(
            await browsing.page.locator("#plan-legend li").all_inner_texts()
        )
        assert browsing.troubles == []


async def test_the_mode_and_open_alarms_are_told_with_their_reasons(tmp_path: Path, browsing: Browsing) -> None:
    async with a_depot(tmp_path) as depot:
        await depot.arrive("cs01")
        await depot.verified_plan("cs01")
        await log_in(browsing.page, depot)
        await expect(browsing.page.locator("#mode")).to_have_text("optimised")
        await expect(browsing.page.locator("#mode-reason")).to_be_hidden()

        pause = {"kind": "pause", "charging_station_id": "cs01", "minutes": 600}
        await depot.post(f"{depot.path}/overrides", pause)

        await expect(browsing.page.locator("#mode")).to_have_text("manual", timeout=LIVE_MS)
        await expect(browsing.page.locator("#mode-reason")).to_contain_text("pause of cs01 until")
        await expect(browsing.page.locator("#alarms li")).to_contain_text("cs01/1 will lack", timeout=LIVE_MS)
        assert browsing.troubles == []


async def test_the_bands_of_the_forecasts_are_drawn_from_low_to_high(tmp_path: Path, browsing: Browsing) -> None:
    async with a_depot(tmp_path, **PV) as depot:
        await depot.arrive("cs01")
        problem = (await depot.verified_plan("cs01"))["problem"]

        await log_in(browsing.page, depot)
        await expect(browsing.page.locator("#plan-legend")).to_contain_text("base load, likely")

        drawn = {trace["name"]: trace for trace in await traces(browsing.page)}
        for name, kind in zip(BANDS, ("base_load", "pv"), strict=True):
            upper, lower = drawn[name]["y"][: 2 * problem["slots"]], drawn[name]["y"][2 * problem["slots"] :]
            assert upper[::2] == problem[f"{kind}_high_kw"]
            assert lower[::-2] == problem[f"{kind}_low_kw"]
            assert max(upper) > max(lower)
        assert browsing.troubles == []


async def test_the_drawing_is_there_to_be_seen(tmp_path: Path, browsing: Browsing) -> None:
    async with a_depot(tmp_path) as depot:
        await depot.arrive("cs01")
        plan = await depot.verified_plan("cs01")

        await log_in(browsing.page, depot)
        await shows_plan(browsing.page, plan)

        chart = await browsing.page.locator("#plan .main-svg").first.bounding_box()
        lines = await sizes(browsing.page, "#plan .scatterlayer path.js-line")
        fills = await sizes(browsing.page, "#plan .scatterlayer path.js-fill")
        assert chart is not None
        assert chart["width"] > 900
        assert len(lines) == len([trace for trace in await traces(browsing.page) if trace["name"] not in BANDS])
        assert len(fills) == 3  # base load and its band, and the one car
        assert all(width > 20 for width, _ in (*lines, *fills))
        assert all(height > 5 for _, height in fills)
        parts = await browsing.page.locator("#site-view > section").all()
        boxes: list[Any] = [await part.bounding_box() for part in parts]
        assert all(upper["y"] + upper["height"] <= lower["y"] for upper, lower in pairwise(boxes))


async def test_the_table_shows_what_was_sent_verified_and_drawn(tmp_path: Path, browsing: Browsing) -> None:
    async with a_depot(tmp_path) as depot:
        await depot.arrive("cs01", wants_kwh=8)
        plan = await depot.verified_plan("cs01")
        (delivery,) = plan["deliveries"]

        await log_in(browsing.page, depot)
        row = browsing.page.locator('tr[data-evse="cs01/1"]')

        first = delivery["profile"]["periods"][0]["limit"]
        await expect(row.locator(".state")).to_have_text(re.compile("applied|verified"))
        await expect(row.locator(".sent .limit")).to_have_text(f"{first:.1f} A")
        await expect(row.locator(".status")).to_have_text("Charging")
        await expect(row.locator(".car")).to_contain_text("of 8.0 kWh by 12:00")
        held_a = depot.stations["cs01"].offered_a(1)
        drawn_kw = float((await row.locator(".drawn").inner_text()).removesuffix(" kW"))
        assert held_a == first
        assert drawn_kw == pytest.approx(held_a * 3 * 0.230, rel=0.03)  # the meter is noisy and shown to 0.1 kW
        empty = browsing.page.locator('tr[data-evse="cs02/1"]')
        await expect(empty.locator(".status")).to_have_text("Available")
        await expect(empty.locator(".car")).to_have_text("–")
        await expect(empty.locator(".sent")).to_have_text("fallback 6.0 A")
        await expect(browsing.page.locator("#stations-summary")).to_have_text(
            "2 of 2 connected · 1 of 1 profile applied"
        )
        assert browsing.troubles == []


async def test_an_evses_name_answers_why(tmp_path: Path, browsing: Browsing) -> None:
    async with a_depot(tmp_path) as depot:
        await depot.arrive("cs01", wants_kwh=8)
        await depot.verified_plan("cs01")
        await log_in(browsing.page, depot)

        await browsing.page.locator('tr[data-evse="cs01/1"] .evse button').click()

        await expect(browsing.page.locator("#why")).to_contain_text(re.compile(r"cs01/1 (charges|does not charge)"))
        await expect(browsing.page.locator("#why")).to_contain_text("a kWh costs")
        assert browsing.troubles == []


async def test_the_fail_safe_certificate_is_shown_with_what_it_rests_on(tmp_path: Path, browsing: Browsing) -> None:
    async with a_depot(tmp_path) as depot:
        await depot.arrive("cs01")
        await depot.verified_plan("cs01")
        certificate = await depot.get(f"{depot.path}/certificate")

        await log_in(browsing.page, depot)

        fuses = {fuse["circuit_id"]: fuse for fuse in certificate["fuses"]}
        await expect(browsing.page.locator("#certificate tbody tr")).to_have_count(len(fuses))
        await expect(browsing.page.locator("#certificate-rests-on li")).to_have_text(certificate["assumptions"])
        expected = "whichever links drop" if certificate["holds"] else "holds from|not proven"
        await expect(browsing.page.locator("#certificate-status .chip")).to_have_text(re.compile(expected))
        assert browsing.troubles == []


async def test_events_refresh_the_page_by_themselves(tmp_path: Path, browsing: Browsing) -> None:
    async with a_depot(tmp_path) as depot:
        await depot.arrive("cs01")
        before = await depot.verified_plan("cs01")
        await log_in(browsing.page, depot)
        await shows_plan(browsing.page, before)
        await expect(browsing.page.locator("#live")).to_have_class("live on")

        await depot.stations["cs01"].unplug(1)

        row = browsing.page.locator('tr[data-evse="cs01/1"]')
        await expect(row.locator(".status")).to_have_text("Available", timeout=LIVE_MS)
        await expect(row.locator(".car")).to_have_text("–", timeout=LIVE_MS)
        await expect(browsing.page.locator("#plan")).not_to_have_attribute(
            "data-schedule", before["id"], timeout=LIVE_MS
        )
        assert "cs01/1" not in {trace["name"] for trace in await traces(browsing.page)}
        assert browsing.troubles == []


async def test_plan_now_makes_a_plan(tmp_path: Path, browsing: Browsing) -> None:
    async with a_depot(tmp_path, connect=()) as depot:
        await depot.is_quiet()
        before = await depot.get(f"{depot.path}/schedules")
        await log_in(browsing.page, depot)

        await browsing.page.get_by_role("button", name="Plan now").click()

        await expect(browsing.page.locator("#plan-made")).to_contain_text("on request")
        assert len(await depot.get(f"{depot.path}/schedules")) == len(before) + 1
        assert browsing.troubles == []  # nor was a site without any plan an error


async def test_a_wrong_key_is_refused_in_words_and_logging_out_forgets_a_right_one(
    tmp_path: Path, browsing: Browsing
) -> None:
    async with a_depot(tmp_path, connect=()) as depot:
        page = browsing.page
        await page.goto(depot.running.http_url)
        await page.fill("#key", "sc_0123456789ab_wrong")
        await page.click("#login-form button")
        await expect(page.locator("#login-error")).not_to_be_empty()
        await expect(page.locator("#dashboard")).to_be_hidden()

        await log_in(page, depot)
        await expect(page.locator("#stations")).to_be_visible()
        await page.click("#logout")
        await expect(page.locator("#login-form")).to_be_visible()  # a page that is left at once has told nobody
        await page.reload()

        await expect(page.locator("#login-form")).to_be_visible()
        assert (await page.request.get(f"{depot.running.http_url}/v1/sites")).status == 401


@pytest.mark.parametrize("width", [360, 800])
async def test_nothing_is_wider_than_a_narrow_window(tmp_path: Path, browsing: Browsing, width: int) -> None:
    async with a_depot(tmp_path) as depot:
        await depot.arrive("cs01")
        plan = await depot.verified_plan("cs01")
        await browsing.page.set_viewport_size({"width": width, "height": 800})

        await log_in(browsing.page, depot)
        await shows_plan(browsing.page, plan)

        assert await browsing.page.evaluate("document.documentElement.scrollWidth") <= width


async def log_in(page: Page, depot: Depot) -> None:
    """Through the form, as a person does."""
    await page.goto(depot.running.http_url)
    await page.fill("#key", await depot.running.create_key("browser"))
    await page.click("#login-form button")


async def shows_plan(page: Page, plan: Json) -> None:
    await expect(page.locator("#plan")).to_have_attribute("data-schedule", plan["id"])
    await page.wait_for_function("document.querySelector('#plan').data?.length > 0")
    await expect(page.locator("#plan .scatterlayer path.js-line").first).to_be_attached()


async def traces(page: Page) -> list[Json]:
    """What plotly was given, by its own account."""
    drawn: list[Json] = await page.evaluate(
        "document.querySelector('#plan').data.map(({name, x, y, stackgroup}) => ({name, x, y, stackgroup}))"
    )
    return drawn


def values(trace: Json) -> list[float]:
    """One for each slot: steps are drawn with the last one twice."""
    assert trace["y"][-1] == trace["y"][-2]
    return list(trace["y"][:-1])


async def sizes(page: Page, selector: str) -> list[tuple[float, float]]:
    boxes: list[Any] = await page.eval_on_selector_all(
        selector, "paths => paths.map(path => [path.getBBox().width, path.getBBox().height])"
    )
    return [(width, height) for width, height in boxes]


async def test_a_battery_is_shown_with_why_it_is_not_planned(tmp_path: Path, browsing: Browsing) -> None:
    target = {"kind": "modbus", "host": "192.0.2.7"}
    battery = {"id": "store", "capacity_kwh": 20, "max_charge_kw": 10, "max_discharge_kw": 10}
    async with a_depot(tmp_path, batteries=[battery | {"actuator": {"target": target}}]) as depot:
        await log_in(browsing.page, depot)

        card = browsing.page.locator("[data-actuator='battery/store']")
        await expect(card).to_contain_text("battery store", timeout=LIVE_MS)
        await expect(card).to_contain_text("–")
        await expect(card).to_have_attribute("title", "SMARTCHARGE_ACTUATOR_HOSTS does not name 192.0.2.7")
        assert browsing.troubles == []
