"""The sources part of a site's document: which providers are asked for its signals, the preferred ones first.

No secret stands in it. A token is named here, and its value is a setting of the service.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, HttpUrl

from app.tariff import Document

Serves = Literal["price", "carbon", "pv", "weather", "programme"]
Minutes = Annotated[int, Field(ge=1, le=1440)]


class _Source(Document):
    serves: ClassVar[Serves]

    id: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9_\-]{0,62}$", description="Absent: its type.")
    url: HttpUrl | None = Field(
        default=None, description="Another server that speaks the same; https, on the internet."
    )

    @property
    def name(self) -> str:
        return self.id or str(getattr(self, "type"))  # noqa: B009  # each subclass names its own

    @property
    def base_url(self) -> str | None:
        return None if self.url is None else str(self.url).rstrip("/")


class _Price(_Source):
    serves = "price"


class EnergyChartsSource(_Price):
    """Day-ahead prices of a European bidding zone; no key."""

    type: Literal["energy_charts"]
    bidding_zone: str = Field(pattern=r"^[A-Z0-9\-]{2,12}$", description="e.g. DE-LU")


class EntsoeSource(_Price):
    """Day-ahead prices of a European bidding zone; needs a token."""

    type: Literal["entsoe"]
    domain: str = Field(pattern=r"^[A-Z0-9\-]{16}$", description="EIC code, e.g. 10Y1001A1001A82H for DE-LU")
    token: str = "entsoe"  # noqa: S105  # the name of a setting, not a secret


class AwattarSource(_Price):
    """Hourly day-ahead prices of Germany or Austria, net; no key."""

    type: Literal["awattar"]
    country: Literal["de", "at"] = "de"


class OctopusSource(_Price):
    """Half-hourly Agile prices of a British region; no key."""

    type: Literal["octopus"]
    product: str = Field(pattern=r"^[A-Z0-9\-]{3,40}$", description="e.g. AGILE-24-10-01")
    region: str = Field(pattern=r"^[A-P]$", description="Letter of the grid supply point.")
    with_vat: bool = True


class TibberSource(_Price):
    """A customer's own prices; needs a token."""

    type: Literal["tibber"]
    home_id: str = Field(pattern=r"^[0-9a-fA-F\-]{8,64}$")
    price: Literal["total", "energy"] = Field(default="total", description="total: taxes and fees are in it already.")
    token: str = "tibber"  # noqa: S105  # the name of a setting, not a secret


class CarbonIntensityUkSource(_Source):
    """Average carbon intensity of Great Britain or of a region; no key."""

    serves = "carbon"
    type: Literal["carbon_intensity_uk"]
    postcode: str | None = Field(default=None, pattern=r"^[A-Z]{1,2}[0-9][0-9A-Z]?$", description="Outward part: SW1")
    every_minutes: Minutes = 30


class OpenMeteoSource(_Source):
    """Irradiance and temperature at the site's place; without a token for non-commercial use only."""

    serves = "weather"
    type: Literal["open_meteo"]
    model: str = Field(default="", pattern=r"^[a-z0-9_]{0,40}$", description="e.g. icon_seamless; empty: its choice")
    token: str | None = None
    every_minutes: Minutes = 60


class ForecastSolarSource(_Source):
    """PV power of the site's arrays; without a token twelve requests an hour and address, one for each array."""

    serves = "pv"
    type: Literal["forecast_solar"]
    token: str | None = None
    every_minutes: Minutes = 60


class SolcastSource(_Source):
    """PV power of a rooftop site with its quantiles; needs a token."""

    serves = "pv"
    type: Literal["solcast"]
    rooftop_id: str = Field(pattern=r"^[0-9a-fA-F\-]{4,40}$")
    token: str = "solcast"  # noqa: S105  # the name of a setting, not a secret
    every_minutes: Minutes = 180  # a hobbyist's key allows ten requests a day


class OpenAdrSource(_Source):
    """Prices, carbon and limits from a utility's OpenADR 3 server; needs the client's secret as its token."""

    serves = "programme"
    type: Literal["openadr"]
    url: HttpUrl = Field(description="The server with its path, e.g. https://vtn.example/openadr3/3.1.0")
    client_id: str = Field(min_length=1, max_length=200)
    program_id: str | None = Field(default=None, min_length=1, max_length=128, description="Absent: all it may see.")
    token: str = "openadr"  # noqa: S105  # the name of a setting, not a secret
    every_minutes: Minutes = 5


Source = Annotated[
    EnergyChartsSource
    | EntsoeSource
    | AwattarSource
    | OctopusSource
    | TibberSource
    | CarbonIntensityUkSource
    | OpenMeteoSource
    | ForecastSolarSource
    | SolcastSource
    | OpenAdrSource,
    Field(discriminator="type"),
]
