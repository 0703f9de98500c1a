"""What the sites' documents ask of single stations' connections: kept in memory, for a login must be cheap."""

from dataclasses import dataclass

from app.csms.tls import SecurityProfile
from app.db.store import Store

SUBPROTOCOLS = {"1.6": "ocpp1.6", "2.0.1": "ocpp2.0.1", "2.1": "ocpp2.1"}


@dataclass(frozen=True, slots=True)
class StationRule:
    """`subprotocol` is what a station speaks that names none."""

    security_profile: SecurityProfile = SecurityProfile.NONE
    subprotocol: str | None = None


class StationRules:
    """The rules of every station that has any; `load` reads them anew."""

    def __init__(self) -> None:
        self._rules: dict[str, StationRule] = {}

    def of(self, station_id: str) -> StationRule:
        return self._rules.get(station_id, _NONE)

    async def load(self, store: Store) -> None:
        """Raises `StoreUnavailableError`, and keeps what it knew."""
        rules = {
            station.id: StationRule(
                SecurityProfile(station.security_profile or 0), SUBPROTOCOLS.get(station.ocpp_version or "")
            )
            for site in await store.sites()
            for station in site.charging_stations
        }
        self._rules = {station_id: rule for station_id, rule in rules.items() if rule != _NONE}


_NONE = StationRule()
