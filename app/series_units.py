"""What each kind of series is kept in, and how other units become it."""

import re
from typing import Literal

from app.errors import InvalidInputError

SeriesKind = Literal[
    "import_price", "export_price", "carbon", "carbon_marginal", "ghi", "temp_air",
    "base_load", "base_load_high", "base_load_low", "pv", "pv_low", "pv_high",
]  # fmt: skip
PRICES = ("import_price", "export_price")
NEVER_NEGATIVE = ("ghi", "base_load", "base_load_high", "base_load_low", "pv", "pv_low", "pv_high")
_CARBON_KG_PER_KWH = {"kg/kWh": 1.0, "g/kWh": 1e-3, "kg/MWh": 1e-3, "t/MWh": 1.0}
_POWER_KW = {"kW": 1.0, "W": 1e-3, "MW": 1e3}
_OTHERS = {
    "carbon": ("kg/kWh", _CARBON_KG_PER_KWH),
    "carbon_marginal": ("kg/kWh", _CARBON_KG_PER_KWH),
    "ghi": ("W/m2", {"W/m2": 1.0, "W/m²": 1.0, "kW/m2": 1e3}),
    "temp_air": ("degC", {"degC": 1.0, "°C": 1.0}),
}


def kept_unit(kind: SeriesKind, unit: str, currency: str) -> tuple[str, float]:
    """The unit a kind is kept in, and the factor that leads to it. Raises `InvalidInputError`."""
    if kind in PRICES:
        match = re.fullmatch(r"([A-Z]{3})/([kM])Wh", unit)
        if match is None:
            raise InvalidInputError("unit", f"{unit!r} is no price: write {currency}/kWh or {currency}/MWh")
        if match[1] != currency:
            raise InvalidInputError("unit", f"{unit!r} is not in the site's currency {currency}")
        return f"{currency}/kWh", 1.0 if match[2] == "k" else 1e-3
    kept, known = _OTHERS.get(kind, ("kW", _POWER_KW))
    if unit not in known:
        raise InvalidInputError("unit", f"{unit!r} is none of {', '.join(known)}")
    return kept, known[unit]
