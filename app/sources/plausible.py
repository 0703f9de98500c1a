"""What no provider publishes on a good day: it is refused, and the values from before stay."""

from collections.abc import Sequence
from datetime import timedelta

from forecasts.errors import SourceError
from forecasts.sources.published import Published

# currency/kWh. The auction's own limits are -0.5 and 5 EUR; the widest currencies of Europe are some ten to the euro.
PRICE_RANGE = {"EUR": (-1.0, 10.0), "GBP": (-1.0, 10.0), "USD": (-1.0, 10.0), "CHF": (-1.0, 10.0)}
OTHER_PRICE_RANGE = (-10.0, 100.0)
RANGES = {
    "carbon": (0.0, 3.0),  # kg/kWh: lignite has 1.2
    "carbon_marginal": (-1.0, 5.0),
    "ghi": (0.0, 2000.0),  # W/m²: above what reaches the atmosphere
    "temp_air": (-80.0, 70.0),
    "import_limit": (0.0, 1e6),
}
FLAT_FROM = timedelta(hours=20)  # an auction that gives one price for so long did not take place


def require_plausible(
    source: str, published: Sequence[Published], *, currency: str, peak_kw: float | None, may_be_flat: bool
) -> None:
    """Raise `SourceError` for a wrong currency, values out of range, or a price that never moves.

    `peak_kw` is what the site's PV can give; None: it has none, and a forecast of it is no harm.
    """
    for series in published:
        is_price = series.kind in ("import_price", "export_price")
        if is_price and series.unit != f"{currency}/kWh":
            raise SourceError(source, f"prices are in {series.unit}, the site's currency is {currency}")
        if is_price:
            low, high = PRICE_RANGE.get(currency, OTHER_PRICE_RANGE)
        elif series.kind in ("pv", "pv_low", "pv_high"):
            low, high = 0.0, float("inf") if peak_kw is None else 1.5 * peak_kw
        else:
            low, high = RANGES[series.kind]
        outside = series.values[(series.values < low) | (series.values > high)]
        if len(outside):
            at = outside.index[0].isoformat()
            raise SourceError(source, f"{series.kind} {outside.iloc[0]:g} {series.unit} at {at} is not believed")
        is_flat = len(series.values) * series.step >= FLAT_FROM and series.values.nunique() == 1
        if is_price and is_flat and (not may_be_flat or series.values.iloc[0] == 0):
            raise SourceError(source, f"every price is {series.values.iloc[0]:g} {series.unit}: not believed")
