"""The quirk file: every line of it is well-formed, has its source, and meets the stations it is about."""

import pytest
from pydantic import ValidationError

from app.csms.connector import Kind, Passport, PauseMethod, Purpose, RateUnit
from app.csms.corrections import Corrections
from app.csms.quirks import Quirk, all_quirks, quirks_of


def corrected(vendor: str, model: str | None = None, firmware: str | None = None) -> Passport:
    passport = Passport(units=frozenset(RateUnit), max_periods=24, max_stack_level=8)
    for quirk in quirks_of(vendor, model, firmware):
        passport = quirk.settings.applied_to(passport)
    return passport


def test_every_quirk_says_something_and_where_it_was_reported() -> None:
    assert all_quirks()
    for quirk in all_quirks():
        assert quirk.settings.named
        assert "#" in quirk.source


def test_a_station_that_only_takes_watts_is_told_in_watts() -> None:
    assert corrected("Huawei Digital Power").units == {RateUnit.W}


def test_only_level_0_and_no_limit_of_0() -> None:
    passport = corrected("ABB", "Terra AC W22-T-RD-M-0")

    assert (passport.max_stack_level, passport.pause, passport.min_limit_a) == (0, PauseMethod.MINIMUM, 6.0)


def test_the_firmware_decides_which_of_a_vendors_quirks_it_is() -> None:
    five, six, unknown = (corrected("Wall Box Chargers", "Pulsar", firmware) for firmware in ("5.17.54", "6.2.1", None))

    assert five.max_stack_level == 0
    assert five.kinds == {Kind.ABSOLUTE}
    assert six.max_stack_level == 8
    assert six.kinds == {Kind.RELATIVE}
    assert unknown == Passport(units=frozenset(RateUnit), max_periods=24, max_stack_level=8)


def test_a_station_without_a_quirk_is_left_as_it_is() -> None:
    assert quirks_of("Acme", "One", "1.0") == ()
    assert quirks_of(None, None, None) == ()


def test_a_maximum_that_is_not_supported_is_not_among_the_purposes() -> None:
    assert Purpose.STATION_MAX not in corrected("Schneider Electric").purposes


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"vendor": "(abb"}, "vendor"), ({"source": "somebody said"}, "source"), ({"settings": {"unit": ["W"]}}, "unit")],
)
def test_a_wrong_line_is_refused_by_its_field(wrong: dict[str, object], named: str) -> None:
    line = {"vendor": "abb", "settings": {"units": ["W"]}, "source": "a/b#1", "note": "so"} | wrong

    with pytest.raises(ValidationError, match=named):
        Quirk.model_validate(line)


def test_corrections_are_fields_of_the_passport() -> None:
    everything = Corrections(
        smart_charging=False,
        units=(RateUnit.W,),
        purposes=(Purpose.TX,),
        kinds=(Kind.RELATIVE,),
        max_periods=2,
        max_stack_level=3,
        max_profiles=4,
        decimals=0,
        min_limit_a=6.0,
        pause=PauseMethod.AVAILABILITY,
        honest_readback=False,
        needs_remote_start=True,
        phases_switchable=True,
    )

    assert everything.named.keys() == Corrections.model_fields.keys()
    assert {name: getattr(everything.applied_to(Passport()), name) for name in everything.named} == everything.named
    assert Corrections.model_validate(everything.as_json()) == everything


def test_the_later_of_two_corrections_counts_where_both_speak() -> None:
    earlier, later = Corrections(max_periods=5, decimals=0), Corrections(max_periods=1)

    assert earlier.joined(later) == Corrections(max_periods=1, decimals=0)
