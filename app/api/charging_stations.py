"""`/v1/charging-stations`: when each station last spoke, what it is, what it does now; and its password."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel, Field

from app.api.auth import Admin, Reader, Writer
from app.api.services import Services, ServicesDep, StoreDep
from app.api.transactions import TransactionOut, registers_of
from app.csms.corrections import Corrections
from app.csms.known_passport import Source, known_passport
from app.csms.passwords import generate_password, hash_password
from app.db.records import EvseStatus, Station
from app.problem_json.fields import Edge
from app.site import Site

router = APIRouter(prefix="/v1/charging-stations", tags=["charging stations"])


class EvseOut(BaseModel):
    evse_id: int
    status: str | None = Field(description="the station's own word, e.g. Charging; null: it never said")
    error_code: str | None
    status_at: datetime | None
    transaction: TransactionOut | None = Field(description="the running one")


class AcceptedOut(BaseModel):
    """One value of a station's passport."""

    value: bool | int | float | str | list[str]
    source: Source = Field(description="what it comes from; a later one in this list of words wins")
    detail: str | None = Field(description="the station's key, the quirk's issue, or when it was found out")


class ProbeStepOut(BaseModel):
    name: str
    limits_a: list[float]
    unit: Literal["A", "W"]
    kind: Literal["Absolute", "Recurring", "Relative"]
    answer: str = Field(description="accepted, or what the station answered instead")
    reported: Literal["applied", "contradicted", "silent"] | None = Field(description="by its composite schedule")
    cleared: str | None = Field(description="cleared, unknown to it, or what the station answered instead")


class ProbeOut(BaseModel):
    """What was tried at a charging station, and what that proves."""

    charging_station_id: str
    evse_id: int
    at: datetime
    low_a: float = Field(description="no profile of the probe allowed more, A per phase")
    steps: list[ProbeStepOut]
    found: Corrections = Field(description="what is now known of its passport; null: nothing new")
    ended_early: str | None = Field(description="why not everything was tried")


class ChargingStationOut(BaseModel):
    id: str
    site_id: str
    vendor: str | None
    model: str | None
    serial: str | None
    firmware: str | None
    ocpp_version: str | None
    connected: bool
    active: bool = Field(description="a transaction runs")
    last_seen_at: datetime | None = Field(description="when it last spoke")
    silent_s: float | None = Field(description="since then")
    booted_at: datetime | None
    has_password: bool
    passport: dict[str, Any] = Field(description="what it says it accepts; empty until it was asked")
    status: str | None = Field(description="of the station as a whole")
    evses: list[EvseOut]

    @classmethod
    def of(
        cls,
        station: Station,
        site: Site | None,
        statuses: Mapping[int, EvseStatus],
        running: Mapping[int, TransactionOut],
        now: datetime,
        *,
        connected: bool,
    ) -> Self:
        document = site.station(station.station_id) if site else None
        known = {evse.id for evse in document.evses} if document else set()
        evse_ids = sorted((known | set(statuses) | set(running)) - {0})
        seen = station.last_seen_at
        return cls(
            id=station.station_id,
            site_id=station.site_id,
            vendor=station.vendor,
            model=station.model,
            serial=station.serial,
            firmware=station.firmware,
            ocpp_version=station.ocpp_version,
            connected=connected,
            active=bool(running),
            last_seen_at=seen,
            silent_s=None if seen is None else max(0.0, (now - seen).total_seconds()),
            booted_at=station.booted_at,
            has_password=station.has_password,
            passport=station.passport,
            status=statuses[0].status if 0 in statuses else None,
            evses=[_evse(evse_id, statuses.get(evse_id), running.get(evse_id)) for evse_id in evse_ids],
        )


class OneChargingStationOut(ChargingStationOut):
    accepts: dict[str, AcceptedOut] = Field(description="what it is taken to accept, and where each value comes from")


class PasswordIn(Edge):
    password: str = Field(min_length=16, max_length=40, description="16 to 40 characters, as OCPP security has it")


class PasswordOut(BaseModel):
    charging_station_id: str
    password: str = Field(description="shown this once")


@router.get("")
async def list_stations(
    services: ServicesDep,
    _: Reader,
    site_id: str | None = None,
    active: Annotated[bool | None, Query(description="true: only those with a running transaction")] = None,
    connected: bool | None = None,
) -> list[ChargingStationOut]:
    """Charging stations with when they last spoke and what they do now."""
    rows = await _described(services, await services.store.stations(site_id), site_id)
    return [row for row in rows if active in (None, row.active) and connected in (None, row.connected)]


@router.get("/{charging_station_id}")
async def get_station(charging_station_id: str, services: ServicesDep, _: Reader) -> OneChargingStationOut:
    """One charging station, with what it accepts."""
    station = await services.store.station(charging_station_id)
    [row] = await _described(services, [station], station.site_id)
    document = (await services.store.site(station.site_id)).station(charging_station_id)
    known = known_passport(station, document, services.clock.now())
    accepts = {name: AcceptedOut.model_validate(value) for name, value in known.as_json().items()}
    return OneChargingStationOut(**row.model_dump(), accepts=accepts)


@router.post("/{charging_station_id}/probe")
async def probe_station(charging_station_id: str, services: ServicesDep, _: Writer) -> ProbeOut:
    """Find out by harmless charging profiles what the station takes; each is read back and cleared again.

    None allows more than what holds already, and each ends by itself within minutes. Refused while a transaction
    runs at the station, while it holds a plan, in shadow mode, and where it has no stack level above its fallback's.
    """
    station = await services.store.station(charging_station_id)
    report = await services.probe(await services.store.site(station.site_id), charging_station_id)
    return ProbeOut(
        charging_station_id=report.station_id,
        evse_id=report.evse_id,
        at=report.at,
        low_a=report.low_a,
        steps=[ProbeStepOut.model_validate(step.as_json()) for step in report.steps],
        found=report.found,
        ended_early=report.ended_early,
    )


@router.put("/{charging_station_id}/password", status_code=HTTPStatus.NO_CONTENT)
async def set_password(
    charging_station_id: str,
    chosen: Annotated[PasswordIn, Body(openapi_examples={"chosen": {"value": {"password": "correct-horse-42"}}})],
    store: StoreDep,
    _: Admin,
) -> None:
    """Set the station's Basic-auth password. It holds from its next connection."""
    await store.station(charging_station_id)
    await store.set_password_hash(charging_station_id, hash_password(chosen.password))


@router.post("/{charging_station_id}/password", status_code=HTTPStatus.CREATED)
async def make_password(charging_station_id: str, store: StoreDep, _: Admin) -> PasswordOut:
    """Make a password for the station and say it this once."""
    await store.station(charging_station_id)
    password, password_hash = generate_password()
    await store.set_password_hash(charging_station_id, password_hash)
    return PasswordOut(charging_station_id=charging_station_id, password=password)


async def _described(services: Services, stations: Iterable[Station], site_id: str | None) -> list[ChargingStationOut]:
    store, now, online = services.store, services.clock.now(), services.connector.connected()
    sites = {site.id: site for site in await store.sites()}
    transactions = await store.transactions(site_id=site_id, running=True, limit=100_000)
    registers = await registers_of(store, transactions)
    running: dict[str, dict[int, TransactionOut]] = {}
    for row in reversed(transactions):  # oldest first: the newest of an EVSE wins
        out = TransactionOut.of(row, registers.get(row.transaction_id))
        running.setdefault(row.station_id, {})[row.evse_id] = out
    statuses: dict[str, dict[int, EvseStatus]] = {}
    for status in await store.evse_statuses(site_id):
        statuses.setdefault(status.station_id, {})[status.evse_id] = status
    return [
        ChargingStationOut.of(
            station,
            sites.get(station.site_id),
            statuses.get(station.station_id, {}),
            running.get(station.station_id, {}),
            now,
            connected=station.station_id in online,
        )
        for station in stations
    ]


def _evse(evse_id: int, status: EvseStatus | None, transaction: TransactionOut | None) -> EvseOut:
    return EvseOut(
        evse_id=evse_id,
        status=status.status if status else None,
        error_code=status.error_code if status else None,
        status_at=status.at if status else None,
        transaction=transaction,
    )
