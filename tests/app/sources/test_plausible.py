"""What no provider publishes on a good day."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from app.sources.plausible import require_plausible
from forecasts.errors import SourceError
from forecasts.sources.published import Published

HOUR = timedelta(hours=1)


def a_series(kind: Any, *values: float, unit: str = "EUR/kWh") -> Published:
    index = pd.date_range(datetime(2026, 3, 2, tzinfo=UTC), periods=len(values), freq=HOUR)
    return Published(kind, pd.Series(values, index=index, dtype=float), HOUR, unit)


def judge(series: Published, *, currency: str = "EUR", peak_kw: float | None = 10.0, may_be_flat: bool = False) -> None:
    require_plausible("test", [series], currency=currency, peak_kw=peak_kw, may_be_flat=may_be_flat)


@pytest.mark.parametrize(
    "series",
    [
        a_series("import_price", -0.5, 5.0),
        a_series("import_price", *[0.2] * 19),  # not yet a day
        a_series("carbon", 0.0, 1.2),
        a_series("carbon_marginal", -0.2, 1.0),
        a_series("ghi", 0.0, 1300.0),
        a_series("temp_air", -40.0, 45.0),
        a_series("pv", 0.0, 10.0),
    ],
)
def test_what_happens_is_believed(series: Published) -> None:
    judge(series)


@pytest.mark.parametrize(
    ("series", "message"),
    [
        (a_series("import_price", 0.2, 82.0), "import_price 82 EUR/kWh at 2026-03-02T01:00"),
        (a_series("import_price", -1.5), "not believed"),
        (a_series("import_price", *[0.2] * 24), "every price is 0.2"),
        (a_series("export_price", *[0.0] * 24), "every price is 0"),
        (a_series("import_price", 0.2, unit="GBP/kWh"), "the site's currency is EUR"),
        (a_series("carbon", 250.0, unit="kg/kWh"), "carbon 250"),
        (a_series("ghi", 2500.0), "ghi 2500"),
        (a_series("temp_air", 290.0), "temp_air 290"),
        (a_series("pv_high", 16.0), "pv_high 16"),
        (a_series("pv", -1.0), "pv -1"),
    ],
)
def test_what_cannot_be_is_refused_with_its_moment(series: Published, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        judge(series)


def test_one_price_all_day_is_believed_of_a_contract_unless_it_is_0() -> None:
    judge(a_series("import_price", *[0.2] * 24), may_be_flat=True)
    with pytest.raises(SourceError):
        judge(a_series("import_price", *[0.0] * 24), may_be_flat=True)


def test_other_currencies_have_a_wider_range() -> None:
    judge(a_series("import_price", 60.0, 20.0, unit="SEK/kWh"), currency="SEK")
    with pytest.raises(SourceError):
        judge(a_series("import_price", 600.0, unit="SEK/kWh"), currency="SEK")
