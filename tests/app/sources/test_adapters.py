"""What is peculiar to each provider: how it is asked, and how its own traps are read."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from app.errors import InvalidInputError
from app.site import Site
from app.sources.adapters import Tokens, adapter_of
from forecasts.errors import NotPublishedError, SourceError
from forecasts.sources.awattar import Awattar
from forecasts.sources.carbon_intensity import CarbonIntensityUk
from forecasts.sources.energy_charts import EnergyCharts
from forecasts.sources.entsoe import Entsoe
from forecasts.sources.forecast_solar import ForecastSolar, Plane
from forecasts.sources.octopus import Octopus
from forecasts.sources.open_meteo import OpenMeteo
from forecasts.sources.published import Window
from forecasts.sources.solcast import Solcast
from forecasts.sources.tibber import Tibber
from tests.app.sources import recorded
from tests.app.sources.recorded import HOUR, QUARTER, entsoe_acknowledgement, entsoe_document, entsoe_series

START = datetime(2026, 3, 27, 23, 0, tzinfo=UTC)
DAY = Window(START, START + timedelta(days=1))
ENTSOE = Entsoe("10Y1001A1001A82H", "token")


def rows(step: timedelta, *values: float | None, start: datetime = START) -> list[tuple[datetime, float | None]]:
    return [(start + n * step, value) for n, value in enumerate(values)]


# Energy-Charts, aWATTar


def test_energy_charts_is_asked_for_the_local_days_of_a_window() -> None:
    [request] = EnergyCharts("DE-LU").requests(DAY)

    assert request.url == "https://api.energy-charts.info/price"
    assert request.params == {"bzn": "DE-LU", "start": "2026-03-28", "end": "2026-03-28"}


def test_awattar_is_asked_with_both_ends_in_milliseconds() -> None:
    [request] = Awattar("at").requests(DAY)

    assert request.url == "https://api.awattar.at/v1/marketdata"
    assert request.params == {"start": "1774652400000", "end": "1774738800000"}


def test_awattar_in_another_unit_is_refused() -> None:
    reply = json.loads(recorded.awattar(rows(HOUR, 0.1, 0.2), HOUR))
    reply["data"][1]["unit"] = "Cent/kWh"

    with pytest.raises(SourceError, match=r"data\[1\].unit is 'Cent/kWh'"):
        Awattar().parse([json.dumps(reply).encode()], DAY)


# ENTSO-E


def test_entsoe_is_asked_for_utc_minutes() -> None:
    [request] = ENTSOE.requests(DAY)

    assert request.params["periodStart"] == "202603272300"
    assert request.params["periodEnd"] == "202603282300"
    assert request.params["in_Domain"] == request.params["out_Domain"] == "10Y1001A1001A82H"
    assert request.params["documentType"] == "A44"


def read(*series: str) -> list[float]:
    [one] = ENTSOE.parse([entsoe_document(*series)], DAY)
    return [float(value) for value in one.values]


def test_a_position_that_an_a03_curve_lacks_repeats_the_one_before_it_also_at_the_end() -> None:
    curve = entsoe_series(rows(QUARTER, 0.1, None, None, 0.2, None, None), QUARTER)

    assert read(curve) == pytest.approx([0.1, 0.1, 0.1, 0.2, 0.2, 0.2])


def test_a_position_that_an_a01_curve_lacks_is_a_gap() -> None:
    curve = entsoe_series(rows(QUARTER, 0.1, None, 0.2), QUARTER, curve="A01")

    assert read(curve) == pytest.approx([0.1, 0.2])


def test_an_a03_curve_without_its_first_position_starts_with_a_gap() -> None:
    curve = entsoe_series(rows(QUARTER, None, 0.2, None), QUARTER)

    assert read(curve) == pytest.approx([0.2, 0.2])


def test_the_lowest_sequence_counts_where_both_say_something() -> None:
    first, second = rows(QUARTER, 0.1, 0.2), rows(QUARTER, 0.8, 0.9, 0.7)

    assert read(entsoe_series(second, QUARTER, 2), entsoe_series(first, QUARTER, 1)) == pytest.approx([0.1, 0.2, 0.7])


def test_a_lone_second_sequence_is_valid() -> None:
    assert read(entsoe_series(rows(QUARTER, 0.8, 0.9), QUARTER, 2)) == pytest.approx([0.8, 0.9])


def test_of_several_resolutions_the_finest_counts_and_hours_fill_in() -> None:
    hours = entsoe_series(rows(HOUR, 0.5, 0.6), HOUR, None)
    quarters = entsoe_series(rows(QUARTER, 0.1, 0.2, 0.3, 0.4), QUARTER, None)

    assert read(hours, quarters) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.6, 0.6, 0.6, 0.6])


def test_two_periods_of_one_auction_follow_each_other() -> None:
    morning = entsoe_series(rows(HOUR, 0.1, 0.2), HOUR)
    evening = entsoe_series(rows(HOUR, 0.3, 0.4, start=START + 2 * HOUR), HOUR)

    assert read(evening, morning) == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_two_series_of_one_rank_that_differ_are_refused() -> None:
    with pytest.raises(SourceError, match="two values"):
        read(entsoe_series(rows(HOUR, 0.1), HOUR), entsoe_series(rows(HOUR, 0.2), HOUR))


def test_no_matching_data_is_not_published_and_any_other_reason_is_an_error() -> None:
    with pytest.raises(NotPublishedError, match="No matching data found"):
        ENTSOE.parse([entsoe_acknowledgement("999", "No matching data found")], DAY)
    with pytest.raises(SourceError, match="declined with reason 100: No such domain") as raised:
        ENTSOE.parse([entsoe_acknowledgement("100", "No such domain")], DAY)
    assert not isinstance(raised.value, NotPublishedError)


def test_an_acknowledgement_counts_with_status_400_too_and_other_bodies_do_not() -> None:
    assert isinstance(ENTSOE.declined(400, entsoe_acknowledgement("999", "No matching data found")), NotPublishedError)
    assert str(ENTSOE.declined(400, entsoe_acknowledgement("100", "No such domain"))).endswith("100: No such domain")
    assert ENTSOE.declined(401, b"<html>Unauthorized</html>") is None
    assert ENTSOE.declined(400, b"no XML") is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<position>2<", "<position>9<", "position 9 is outside"),
        ("<position>2<", "<position>two<", "'two' is not a number"),
        ("<position>2<", "<position>1<", "two values for position 1"),
        (">200.0<", ">NaN<", "'NaN' is not a number"),
        (">200.0<", ">1e9999<", "is not a number"),
        ("PT60M", "P1Y", "the resolution 'P1Y'"),
        (">MWH<", ">KWH<", "per KWH"),
        ("<currency_Unit.name>EUR</currency_Unit.name>", "", "no currency_Unit.name"),
    ],
)
def test_a_document_that_is_not_what_it_was_is_refused(old: str, new: str, message: str) -> None:
    document = entsoe_document(entsoe_series(rows(HOUR, 0.1, 0.2, 0.3), HOUR)).decode()
    assert old in document

    with pytest.raises(SourceError, match=message):
        ENTSOE.parse([document.replace(old, new).encode()], DAY)


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE a [<!ENTITY b "c">]><Publication_MarketDocument>&b;</Publication_MarketDocument>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><Publication_MarketDocument/>',
        "<!DOCTYPE a><Publication_MarketDocument/>".encode("utf-16"),
        b'<?xml version="1.0" encoding="TF-8"?><Publication_MarketDocument/>',
    ],
)
def test_entities_and_document_types_are_never_expanded(body: bytes) -> None:
    with pytest.raises(SourceError, match="no XML that can be read"):
        ENTSOE.parse([body], DAY)


# Octopus


OCTOPUS = Octopus("AGILE-24-10-01", "H")


def test_octopus_is_asked_by_product_and_region() -> None:
    [request] = OCTOPUS.requests(DAY)

    assert request.url == (
        "https://api.octopus.energy/v1/products/AGILE-24-10-01/electricity-tariffs/"
        "E-1R-AGILE-24-10-01-H/standard-unit-rates/"
    )
    assert request.params["period_from"] == "2026-03-27T23:00:00Z"


def test_octopus_next_page_is_followed_and_only_on_its_own_server() -> None:
    here = recorded.octopus(rows(HOUR, 0.1), HOUR, "https://api.octopus.energy/v1/next?page=2")
    elsewhere = recorded.octopus(rows(HOUR, 0.1), HOUR, "https://evil.example/v1/next?page=2")

    [request] = OCTOPUS.requests(DAY)
    following = OCTOPUS.more(request, here)

    assert following is not None
    assert following.url == "https://api.octopus.energy/v1/next?page=2"
    assert OCTOPUS.more(request, recorded.octopus(rows(HOUR, 0.1), HOUR)) is None
    with pytest.raises(SourceError, match="another server"):
        OCTOPUS.more(request, elsewhere)


def test_an_octopus_rate_without_end_holds_until_the_end_of_what_was_asked() -> None:
    reply = json.loads(recorded.octopus(rows(timedelta(minutes=30), 0.1), timedelta(minutes=30)))
    reply["results"][0]["valid_to"] = None

    [one] = OCTOPUS.parse([json.dumps(reply).encode()], DAY)

    assert one.missing(DAY) is None
    assert set(one.values) == {0.1}


def test_octopus_rates_of_other_payments_do_not_count_and_vat_may_be_left_out() -> None:
    reply = json.loads(recorded.octopus(rows(HOUR, 0.105), HOUR))
    other = reply["results"][0] | {"payment_method": "NON_DIRECT_DEBIT", "value_inc_vat": 99.0}
    reply["results"].append(other)
    body = json.dumps(reply).encode()

    [with_vat] = OCTOPUS.parse([body], DAY)
    [without] = Octopus("AGILE-24-10-01", "H", with_vat=False).parse([body], DAY)

    assert with_vat.values.tolist() == pytest.approx([0.105])
    assert without.values.tolist() == pytest.approx([0.1])


# Tibber


def test_tibber_is_asked_with_the_home_as_a_variable() -> None:
    [request] = Tibber("home-1", "token").requests(DAY)

    assert request.headers == {"Authorization": "Bearer token"}
    assert request.body is not None
    assert request.body["variables"] == {"home": "home-1"}
    assert "QUARTER_HOURLY" in request.body["query"]
    assert "token" not in repr(request)


def test_tibber_errors_come_with_status_200() -> None:
    with pytest.raises(SourceError, match="answered with errors: No valid access token"):
        Tibber("h", "t").parse([b'{"errors":[{"message":"No valid access token"}],"data":null}'], DAY)


def test_a_tibber_home_without_a_contract_is_named() -> None:
    with pytest.raises(SourceError, match="is the home known"):
        Tibber("h", "t").parse([b'{"data":{"viewer":{"home":null}}}'], DAY)


def test_tibber_without_tomorrow_is_not_published_for_tomorrow() -> None:
    body = recorded.tibber(rows(HOUR, *[0.1] * 24), HOUR)

    with pytest.raises(NotPublishedError):
        Tibber("h", "t").parse([body], Window(DAY.end, DAY.end + timedelta(days=1)))


def test_tibber_without_taxes_is_the_energy_price() -> None:
    [one] = Tibber("h", "t", price="energy").parse([recorded.tibber(rows(HOUR, 0.1, 0.2), HOUR)], DAY)

    assert one.values.tolist() == pytest.approx([0.04, 0.08])


# Carbon


def test_carbon_of_a_region_is_one_level_deeper_and_what_was_measured_counts() -> None:
    national = json.loads(recorded.carbon_intensity(rows(timedelta(minutes=30), 0.1, 0.2), timedelta(minutes=30)))
    national["data"][0]["intensity"]["actual"] = 90
    regional = {"data": {"regionid": 13, "shortname": "London", "data": national["data"]}}

    [one] = CarbonIntensityUk("SW1").parse([json.dumps(regional).encode()], DAY)
    [request] = CarbonIntensityUk("SW1").requests(DAY)

    assert one.values.tolist() == pytest.approx([0.09, 0.2])
    assert request.url.endswith("/regional/intensity/2026-03-27T23:00Z/fw48h/postcode/SW1")


# Weather and PV


def open_meteo_reply(ghi: list[float | None], temperature: list[float | None], **changed: Any) -> bytes:
    reply = {
        "minutely_15_units": {"time": "unixtime", "shortwave_radiation": "W/m²", "temperature_2m": "°C"},
        "minutely_15": {
            "time": [int(START.timestamp()) + 900 * n for n in range(len(ghi))],
            "shortwave_radiation": ghi,
            "temperature_2m": temperature,
        },
    }
    return json.dumps(reply | changed).encode()


def test_radiation_belongs_to_the_quarter_hour_before_its_stamp_and_temperature_to_the_moment() -> None:
    body = open_meteo_reply([None, -1.0, 400.0, None], [10.0, 12.0, 13.0, None])

    ghi, temperature = OpenMeteo(52.5, 13.4).parse([body], DAY)

    assert list(ghi.values.index) == [START, START + QUARTER]
    assert ghi.values.tolist() == [0.0, 400.0]
    assert temperature.values.tolist() == [11.0, 12.5]
    assert (ghi.kind, temperature.kind) == ("ghi", "temp_air")


def test_open_meteo_is_free_without_a_key_and_the_customers_host_with_one() -> None:
    [free], [paid] = (OpenMeteo(52.5, 13.4, token=token).requests(DAY) for token in (None, "k3y"))

    assert free.url == "https://api.open-meteo.com/v1/forecast"
    assert paid.url == "https://customer-api.open-meteo.com/v1/forecast"
    assert (free.params["start_date"], free.params["end_date"]) == ("2026-03-27", "2026-03-29")
    assert "k3y" not in repr(paid)


def test_open_meteo_in_other_units_or_declined_is_refused() -> None:
    units = {"time": "unixtime", "shortwave_radiation": "MJ/m²", "temperature_2m": "°C"}
    with pytest.raises(SourceError, match="the units are"):
        OpenMeteo(1, 2).parse([open_meteo_reply([1.0], [1.0], minutely_15_units=units)], DAY)
    with pytest.raises(SourceError, match="declined: too many"):
        OpenMeteo(1, 2).parse([b'{"error": true, "reason": "too many"}'], DAY)


def forecast_solar_reply(**period_wh: float) -> bytes:
    period = {f"2026-03-28 {at.replace('_', ':')}:00": wh for at, wh in period_wh.items()}
    return json.dumps({"result": {"watt_hours_period": period}, "message": {"code": 0}}).encode()


SOLAR = ForecastSolar(52.52, 13.4, (Plane(10, 30, 170, inverter_kw=8), Plane(5, 10, 270)))


def test_forecast_solar_energy_belongs_to_the_interval_before_its_stamp() -> None:
    body = forecast_solar_reply(**{"06_05": 0, "07_00": 275, "08_00": 1000, "08_20": 200})

    [one] = ForecastSolar(52.52, 13.4, (Plane(10, 30, 180),)).parse([body], DAY)

    assert f"{one.values.index[0]:%H:%M}" == "06:15"  # the quarter hour of the sunrise is not known whole
    assert one.values.iloc[0] == pytest.approx(0.275 / (55 / 60))
    assert one.values.loc["2026-03-28 07:30+00:00"] == pytest.approx(1.0)
    assert f"{one.values.index[-1]:%H:%M}" == "08:00"


def test_forecast_solar_asks_for_each_array_with_south_as_0_and_adds_them_up() -> None:
    first, second = SOLAR.requests(DAY)
    body = forecast_solar_reply(**{"06_00": 0, "07_00": 1000, "08_00": 2000})

    [one] = SOLAR.parse([body, body], DAY)

    assert first.url == "https://api.forecast.solar/estimate/52.52/13.4/30/-10/10"
    assert first.params == {"time": "utc", "inverter": "8"}
    assert second.url.endswith("/10/90/5")
    assert one.values.tolist() == pytest.approx([2.0] * 4 + [4.0] * 4)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"result": null, "message": {"code": 429, "text": "Rate limit"}}', "declined with code 429: Rate limit"),
        (forecast_solar_reply(**{"07_00": 0, "06_00": 5}), "do not rise"),
        (forecast_solar_reply(**{"06_00": 0, "07_00": -5}), "negative"),
    ],
)
def test_forecast_solar_that_cannot_be_read_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        SOLAR.parse([body, body], DAY)


def test_solcast_labels_the_end_and_gives_quantiles() -> None:
    body = recorded.solcast(rows(timedelta(minutes=30), 2.0, 3.0), timedelta(minutes=30))

    pv, low, high = Solcast("id", "token").parse([body], DAY)

    assert pv.values.index[0] == START
    assert (pv.kind, low.kind, high.kind) == ("pv", "pv_low", "pv_high")
    assert high.values.tolist() == [3.0, 4.5]


# From a site's document


def a_site(*sources: dict[str, Any], **changed: Any) -> Site:
    tariff = {"kind": "series"}
    return Site.model_validate(
        {"id": "s", "name": "S", "time_zone": "Europe/Berlin", "connection": {}, "tariff": tariff, "sources": sources}
        | changed
    )


def the_adapter(site: Site, hosts: tuple[str, ...] = (), **tokens: str) -> Any:
    secrets = {name.replace("_", "-"): SecretStr(token) for name, token in tokens.items()}
    return adapter_of(site, site.sources[0], Tokens(secrets, hosts))


def test_a_token_is_named_in_the_document_and_comes_from_the_settings() -> None:
    site = a_site({"type": "entsoe", "domain": "10Y1001A1001A82H"})

    assert the_adapter(site, entsoe="t0ken").token == "t0ken"
    with pytest.raises(InvalidInputError, match="'entsoe' is not among the settings' tokens"):
        the_adapter(site)


def test_a_token_is_not_sent_to_a_server_that_a_document_names_unless_the_settings_allow_its_host() -> None:
    site = a_site({"type": "entsoe", "domain": "10Y1001A1001A82H", "url": "https://collects.example/"})

    with pytest.raises(InvalidInputError, match="gets no token"):
        the_adapter(site, entsoe="t0ken")
    assert the_adapter(site, ("collects.example",), entsoe="t0ken").base_url == "https://collects.example"


def test_a_token_of_one_provider_is_not_sent_to_another() -> None:
    site = a_site({"type": "tibber", "home_id": "96a14971", "token": "entsoe"})

    with pytest.raises(InvalidInputError, match="not a token of tibber"):
        the_adapter(site, entsoe="t0ken")


def test_a_source_that_needs_a_place_or_arrays_says_so() -> None:
    with pytest.raises(InvalidInputError, match="latitude and longitude"):
        the_adapter(a_site({"type": "open_meteo"}))
    with pytest.raises(InvalidInputError, match="needs pv_arrays"):
        the_adapter(a_site({"type": "forecast_solar"}, latitude=50, longitude=10))


def test_two_sources_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="sources holds 'awattar' more than once"):
        a_site({"type": "awattar"}, {"type": "awattar", "country": "at"})
    assert (
        a_site({"type": "awattar"}, {"type": "awattar", "country": "at", "id": "austria"}).sources[1].name == "austria"
    )
