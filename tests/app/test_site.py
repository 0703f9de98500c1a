"""A site's document: what is refused, and with which path and reason."""

import copy
from datetime import date, time
from typing import Any

import pytest
from pydantic import ValidationError

from app.site import Site, evse_key, split_evse_key

STATION: dict[str, Any] = {"id": "cs01", "evses": [{"id": 1, "circuit": "row"}]}
PERIOD: dict[str, Any] = {"steps": [{"start": "00:00", "price_per_kwh": 0.2}]}
DOCUMENT: dict[str, Any] = {
    "id": "depot",
    "name": "Depot",
    "time_zone": "Europe/Berlin",
    "latitude": 52.5,
    "longitude": 13.4,
    "connection": {"max_import_kw": 100},
    "circuits": [{"id": "garage"}, {"id": "row", "parent": "garage", "max_current_a": 63}],
    "charging_stations": [STATION],
    "batteries": [{"id": "box", "capacity_kwh": 10, "max_charge_kw": 5, "max_discharge_kw": 5}],
    "meters": [{"id": "main", "measures": "grid"}],
    "tariff": {"kind": "time_of_use", "periods": [PERIOD], "demand_charges": [{"price_per_kw": 9.5}]},
}


def changed(path: str, value: object) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    *way, last = (int(part) if part.isdigit() else part for part in path.split("."))
    place: Any = document
    for part in way:
        place = place[part]
    place[last] = value
    return document


def test_the_example_is_a_site() -> None:
    site = Site.model_validate(DOCUMENT)

    assert site.zone.key == "Europe/Berlin"
    assert site.station("cs01") is not None
    assert site.station("cs02") is None


@pytest.mark.parametrize(
    ("path", "value", "where", "reason"),
    [
        ("surprise", 1, "surprise", "not permitted"),
        ("time_zone", "Europe/Atlantis", "time_zone", "'Europe/Atlantis' is no IANA time zone"),
        ("time_zone", "../etc/passwd", "time_zone", "no IANA time zone"),
        ("subdivision", "BY", "subdivision", "'BY' needs the site's country"),
        ("connection.max_import_kw", float("nan"), "connection.max_import_kw", "finite"),
        ("connection.max_import_kw", -1, "connection.max_import_kw", "greater than or equal to 0"),
        ("circuits.0.parent", "row", "", "closes a loop"),
        ("circuits.1.parent", "attic", "", r"circuits\[row\].parent 'attic' does not exist"),
        ("circuits.1.id", "garage", "", "circuits holds 'garage' more than once"),
        ("circuits.0.id", "connection", "", "the name of the grid connection itself"),
        ("charging_stations.0.id", "a:b", "charging_stations.0.id", "match pattern"),
        ("charging_stations", [STATION, STATION], "", "charging_stations holds 'cs01' more than once"),
        ("charging_stations.0.evses", [], "charging_stations.0.evses", "at least 1 item"),
        ("charging_stations.0.evses.0.circuit", "attic", "", r"evses\[1\].circuit 'attic' does not exist"),
        ("charging_stations.0.evses.0.phases", ["L1", "L1"], "charging_stations.0.evses.0", "repeat"),
        ("charging_stations.0.evses.0.max_current_a", None, "charging_stations.0.evses.0", "needs max_current_a or"),
        ("charging_stations.0.evses.0.max_current_a", 4, "charging_stations.0.evses.0", "above max_current_a 4"),
        ("batteries.0.min_energy_kwh", 11, "batteries.0", "above capacity_kwh 10"),
        ("batteries.0.circuit", "attic", "", r"batteries\[box\].circuit 'attic' does not exist"),
        ("pv_arrays", [{"id": "roof", "peak_kw": 0}], "pv_arrays.0.peak_kw", "greater than 0"),
        ("fallback_current_a", 3, "", "neither 0 nor at least 6"),
        ("slot_minutes", 7, "slot_minutes", "5, 10, 15, 30 or 60"),
        ("slot_minutes", 30, "", r"slot_minutes 30 is longer than the 15 minutes of tariff.demand_charges\[month\]"),
        ("nightly_at", "22:00Z", "nightly_at", "has a time zone"),
        ("tariff.kind", "free", "tariff", "does not match any of the expected tags"),
        ("tariff.periods", [], "tariff.time_of_use.periods", "at least 1 item"),
    ],
)
def test_what_is_wrong_is_refused_with_its_path_and_the_reason(
    path: str, value: object, where: str, reason: str
) -> None:
    with pytest.raises(ValidationError, match=reason) as refused:
        Site.model_validate(changed(path, value))

    assert where in {".".join(map(str, error["loc"])) for error in refused.value.errors()}


def test_a_part_that_the_country_does_not_have_is_refused_with_those_that_it_has() -> None:
    with pytest.raises(ValidationError, match=r"'CA' is no part of DE .* there is Augsburg, BB, BE, BW, BY") as refused:
        Site.model_validate(DOCUMENT | {"country": "DE", "subdivision": "CA"})

    assert refused.value.errors()[0]["loc"] == ("subdivision",)


def test_a_country_and_its_part_are_a_calendar() -> None:
    assert Site.model_validate(DOCUMENT | {"country": "US", "subdivision": "CA"}).subdivision == "CA"


def test_pv_without_a_place_is_refused() -> None:
    document = changed("pv_arrays", [{"id": "roof", "peak_kw": 5}]) | {"latitude": None}

    with pytest.raises(ValidationError, match="latitude and longitude"):
        Site.model_validate(document)


@pytest.mark.parametrize(
    ("periods", "reason"),
    [
        ([PERIOD | {"steps": [{"start": "06:00", "price_per_kwh": 0.2}]}], "starts at 06:00:00, not at 00:00"),
        ([PERIOD | {"steps": PERIOD["steps"] * 2}], "do not rise"),
        ([PERIOD | {"first_day": "02-30"}], "day is out of range"),
        ([PERIOD | {"weekdays": [7]}], "less than or equal to 6"),
        ([{"steps": [*PERIOD["steps"], {"start": "06:02", "price_per_kwh": 1}]}], "not on five minutes"),
        ([{"steps": [*PERIOD["steps"], {"start": "06:00+02:00", "price_per_kwh": 1}]}], "has a time zone"),
        ([PERIOD | {"weekdays": [0, 1, 2, 3, 4]}], "hold no price on a Saturday 01-01"),
        ([PERIOD | {"first_day": "03-01", "last_day": "10-31"}], "hold no price on a Monday 01-01"),
        ([PERIOD | {"first_day": "10-01", "last_day": "02-28"}], "hold no price on a Monday 02-29"),
    ],
)
def test_a_tariff_that_would_fail_on_some_day_is_refused_today(periods: list[dict[str, Any]], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Site.model_validate(changed("tariff.periods", periods))


def test_seasons_over_new_year_and_weekdays_cover_the_year_together() -> None:
    winter = PERIOD | {"first_day": "10-01", "last_day": "03-31"}
    summer = PERIOD | {"first_day": "04-01", "last_day": "09-30"}
    weekend = summer | {"weekdays": [5, 6]}

    site = Site.model_validate(changed("tariff.periods", [winter, summer | {"weekdays": [0, 1, 2, 3, 4]}, weekend]))

    assert site.tariff.kind == "time_of_use"
    assert site.tariff.periods[0].holds_on(date(2026, 1, 1))
    assert not site.tariff.periods[0].holds_on(date(2026, 6, 1))
    assert site.tariff.periods[0].steps[0].start == time(0)


def test_two_demand_charges_need_two_names() -> None:
    document = changed("tariff.demand_charges", [{"price_per_kw": 9.5}, {"price_per_kw": 3, "start": "08:00"}])

    with pytest.raises(ValidationError, match="hold 'month' more than once"):
        Site.model_validate(document)


def test_a_document_survives_the_way_through_json() -> None:
    site = Site.model_validate(DOCUMENT)

    assert Site.model_validate_json(site.model_dump_json()) == site


def test_a_copy_with_other_stations_finds_its_own_and_the_first_one_keeps_its() -> None:
    site = Site.model_validate(DOCUMENT)
    first = site.station("cs01")
    other = Site.model_validate(changed("charging_stations", [STATION | {"id": "cs02"}]))

    copied = site.model_copy(update={"charging_stations": other.charging_stations})

    assert first is site.charging_stations[0]
    assert (copied.station("cs01"), copied.station("cs02")) == (None, other.charging_stations[0])
    assert (site.station("cs01"), site.station("cs02")) == (first, None)


def test_a_site_that_was_asked_for_a_station_is_the_same_site() -> None:
    asked, fresh = Site.model_validate(DOCUMENT), Site.model_validate(DOCUMENT)
    asked.station("cs01")

    assert asked == fresh
    assert asked.model_dump() == fresh.model_dump()


def test_a_key_names_its_evse() -> None:
    assert split_evse_key(evse_key("cs|01", 12)) == ("cs|01", 12)
