"""What counts most of what is known of a station, and where each value comes from."""

from datetime import UTC, datetime, timedelta
from typing import Any

from app.csms.connector import Kind, Passport, RateUnit
from app.csms.corrections import Corrections
from app.csms.known_passport import LEARNED, LEARNED_FOR, Origin, known_passport
from app.csms.timestamps import iso_utc
from app.csms.v16_passport import MAX_PERIODS, RATE_UNIT, passport_json, passport_of, stored_passport
from app.db.records import Station
from app.site import ChargingStationDocument

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
READ = passport_of({RATE_UNIT: '"Power"', MAX_PERIODS: " 24 ", "ChargeProfileMaxStackLevel": "8"})


def a_station(*, firmware: str = "1.0", vendor: str = "Acme", **parts: Corrections) -> Station:
    stored = passport_json(READ, NOW, "1.0") | {
        part: {"settings": found.as_json(), "at": iso_utc(NOW), "firmware": "1.0"} for part, found in parts.items()
    }
    return Station("cs01", "depot", vendor=vendor, firmware=firmware, passport=stored)


def a_document(**profile: Any) -> ChargingStationDocument:
    return ChargingStationDocument.model_validate({"id": "cs01", "evses": [{"id": 1}], "profile": profile})


def test_a_value_comes_from_the_key_that_the_station_answered() -> None:
    known = known_passport(a_station(), None, NOW)

    assert known.passport == READ
    assert known.passport.units == {RateUnit.W}
    assert known.origins["max_periods"] == Origin("station", MAX_PERIODS)
    assert known.origins["decimals"] == Origin("default")


def test_a_station_that_was_never_asked_has_the_defaults() -> None:
    known = known_passport(Station("cs01", "depot"), None, NOW)

    assert known.passport == Passport()
    assert {origin.source for origin in known.origins.values()} == {"default"}


def test_each_source_wins_over_those_before_it() -> None:
    quirky = a_station(vendor="Huawei")
    probed = a_station(vendor="Huawei", probe=Corrections(max_periods=10, decimals=0))
    learned = a_station(vendor="Huawei", probe=Corrections(max_periods=10), learned=Corrections(max_periods=5))

    assert known_passport(quirky, None, NOW).origins["units"] == Origin("quirk", "lbbrhzn/ocpp#1635")
    assert known_passport(probed, None, NOW).passport.max_periods == 10
    assert known_passport(learned, None, NOW).passport.max_periods == 5
    overridden = known_passport(learned, a_document(max_periods=3), NOW)
    assert (overridden.passport.max_periods, overridden.origins["max_periods"].source) == (3, "override")


def test_the_older_word_of_the_site_document_still_counts() -> None:
    document = ChargingStationDocument.model_validate({"id": "cs01", "evses": [{"id": 1}], "max_profile_periods": 4})
    both = document.model_copy(update={"profile": Corrections(max_periods=2)})

    assert known_passport(a_station(), document, NOW).passport.max_periods == 4
    assert known_passport(a_station(), both, NOW).passport.max_periods == 2


def test_another_firmware_forgets_what_probes_and_answers_taught() -> None:
    probed, learned = Corrections(kinds=(Kind.RELATIVE,)), Corrections(max_periods=1)

    updated = known_passport(a_station(firmware="2.0", probe=probed, learned=learned), None, NOW)

    assert updated.passport.kinds == {Kind.ABSOLUTE}
    assert updated.passport.max_periods == 24


def test_what_an_answer_taught_is_tried_anew_after_a_day() -> None:
    station = a_station(learned=Corrections(max_periods=1))

    assert known_passport(station, None, NOW + LEARNED_FOR - timedelta(seconds=1)).passport.max_periods == 1
    assert known_passport(station, None, NOW + LEARNED_FOR).passport.max_periods == 24


def test_a_passport_of_another_firmware_is_read_again() -> None:
    stored = passport_json(READ, NOW, "1.0")

    assert stored_passport(stored, None, "1.0") == READ
    assert stored_passport(stored, None, "2.0") is None


def test_garbage_in_the_store_is_passed_over() -> None:
    station = Station("cs01", "depot", passport={LEARNED: {"settings": {"units": ["V"]}, "at": "x", "firmware": None}})

    assert known_passport(station, None, NOW).passport == Passport()


def test_every_value_can_be_shown() -> None:
    shown = known_passport(a_station(), a_document(min_limit_a=6), NOW).as_json()

    assert shown["units"] == {"value": ["W"], "source": "station", "detail": RATE_UNIT}
    assert shown["min_limit_a"] == {"value": 6.0, "source": "override", "detail": None}
    assert shown["pause"]["value"] == "zero"
