import pytest

from app.api.series import EXAMPLE
from app.errors import InvalidInputError
from app.events import SiteChanged
from app.series_units import SeriesKind as Kind
from app.series_units import kept_unit
from tests.app.api.builders import NOW, an_api, wrong

PATH = "/v1/sites/depot/series"
DAY = {"kind": "import_price", "start": "2026-06-01T22:00:00Z", "end": "2026-06-02T22:00:00Z"}


async def test_prices_per_mwh_are_kept_per_kwh() -> None:
    async with an_api() as api:
        stored = (await api.client.post(PATH, json=EXAMPLE)).json()

        [series] = (await api.client.get(PATH, params=DAY)).json()

        assert (stored["unit"], stored["values"]) == ("EUR/kWh", 24)
        assert stored["end"] == "2026-06-02T22:00:00Z"
        assert series["values"] == pytest.approx([value / 1000 for value in EXAMPLE["values"]])
        assert (series["source"], series["issued_at"]) == ("day-ahead auction", "2026-06-01T12:00:00Z")
        assert api.heard == [SiteChanged("depot", NOW)]


async def test_a_later_issue_stands_behind_an_earlier_one() -> None:
    async with an_api() as api:
        await api.client.post(PATH, json=EXAMPLE | {"issued_at": "2026-06-01T11:00:00Z", "source": "new"})
        await api.client.post(PATH, json=EXAMPLE | {"issued_at": "2026-06-01T09:00:00Z", "source": "old"})

        assert [row["source"] for row in (await api.client.get(PATH, params=DAY)).json()] == ["old", "new"]


async def test_production_is_never_negative() -> None:
    series = EXAMPLE | {"kind": "pv", "unit": "kW", "values": [1, 0, -0.5]}
    async with an_api() as api:
        assert wrong(await api.client.post(PATH, json=series))["field"] == "values[2]"


@pytest.mark.parametrize(
    ("kind", "unit", "kept", "factor"),
    [
        ("import_price", "EUR/kWh", "EUR/kWh", 1),
        ("export_price", "EUR/MWh", "EUR/kWh", 0.001),
        ("carbon", "g/kWh", "kg/kWh", 0.001),
        ("pv", "W", "kW", 0.001),
        ("base_load", "MW", "kW", 1000),
    ],
)
def test_units_are_converted_once(kind: Kind, unit: str, kept: str, factor: float) -> None:
    assert kept_unit(kind, unit, "EUR") == (kept, factor)


@pytest.mark.parametrize(
    ("kind", "unit"), [("import_price", "ct/kWh"), ("import_price", "EUR"), ("pv", "EUR/kWh"), ("carbon", "kW")]
)
def test_a_unit_that_says_something_else_is_refused(kind: Kind, unit: str) -> None:
    with pytest.raises(InvalidInputError, match=unit):
        kept_unit(kind, unit, "EUR")
