"""From what a site's document says of a source, and the service's tokens, to the adapter that asks it."""

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from pydantic import SecretStr

from app.errors import InvalidInputError
from app.site import Site
from app.sources.document import (
    AwattarSource,
    CarbonIntensityUkSource,
    EnergyChartsSource,
    EntsoeSource,
    ForecastSolarSource,
    OctopusSource,
    OpenAdrSource,
    OpenMeteoSource,
    SolcastSource,
    Source,
    TibberSource,
)
from forecasts.sources import awattar, carbon_intensity, energy_charts, entsoe, forecast_solar, octopus, solcast, tibber
from forecasts.sources.forecast_solar import Plane
from forecasts.sources.open_meteo import OpenMeteo
from forecasts.sources.openadr import OpenAdr
from forecasts.sources.published import Adapter


class Tokens:
    """The settings' tokens by name. One goes to its own provider, or to a host that the settings allow: a person who
    may write a site's document must not have it sent elsewhere."""

    def __init__(self, tokens: Mapping[str, SecretStr], hosts: Collection[str]) -> None:
        self._tokens = tokens
        self._hosts = {host.lower() for host in hosts}

    def get(self, source: Source, name: str) -> str:
        if name not in self._tokens:
            raise InvalidInputError(f"sources[{source.name}].token", f"{name!r} is not among the settings' tokens")
        if name != source.type and not name.startswith(f"{source.type}-"):
            raise InvalidInputError(
                f"sources[{source.name}].token", f"{name!r} is not a token of {source.type}: its name has to start so"
            )
        if source.base_url is not None and (urlsplit(source.base_url).hostname or "").lower() not in self._hosts:
            raise InvalidInputError(
                f"sources[{source.name}].url", f"{source.base_url} gets no token: its host is not in source_hosts"
            )
        return self._tokens[name].get_secret_value()


def adapter_of(site: Site, source: Source, tokens: Tokens) -> Adapter:
    """Raises `InvalidInputError` where the site or the settings lack what the source needs."""
    adapter: Adapter
    url = source.base_url
    match source:
        case EnergyChartsSource():
            adapter = energy_charts.EnergyCharts(source.bidding_zone, url or energy_charts.BASE_URL)
        case EntsoeSource():
            adapter = entsoe.Entsoe(source.domain, tokens.get(source, source.token), url or entsoe.BASE_URL)
        case AwattarSource():
            adapter = awattar.Awattar(source.country, url)
        case OctopusSource():
            adapter = octopus.Octopus(source.product, source.region, source.with_vat, url or octopus.BASE_URL)
        case TibberSource():
            token = tokens.get(source, source.token)
            adapter = tibber.Tibber(source.home_id, token, source.price, url or tibber.BASE_URL)
        case CarbonIntensityUkSource():
            adapter = carbon_intensity.CarbonIntensityUk(source.postcode, url or carbon_intensity.BASE_URL)
        case SolcastSource():
            adapter = solcast.Solcast(source.rooftop_id, tokens.get(source, source.token), url or solcast.BASE_URL)
        case OpenAdrSource():
            secret = tokens.get(source, source.token)
            adapter = OpenAdr(source.base_url or "", source.client_id, secret, source.program_id)
        case OpenMeteoSource():
            key = None if source.token is None else tokens.get(source, source.token)
            adapter = OpenMeteo(*_place(site, source), source.model, key, url)
        case ForecastSolarSource():
            key = None if source.token is None else tokens.get(source, source.token)
            latitude, longitude = _place(site, source)
            planes = tuple(
                Plane(array.peak_kw, array.tilt_deg, array.azimuth_deg, array.inverter_kw) for array in site.pv_arrays
            )
            if not planes:
                raise InvalidInputError(f"sources[{source.name}]", "needs pv_arrays in the site's document")
            adapter = forecast_solar.ForecastSolar(latitude, longitude, planes, key, url or forecast_solar.BASE_URL)
    return adapter


def _place(site: Site, source: Source) -> tuple[float, float]:
    if site.latitude is None or site.longitude is None:
        raise InvalidInputError(f"sources[{source.name}]", "needs the site's latitude and longitude")
    return site.latitude, site.longitude
