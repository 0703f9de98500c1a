"""`/v1/enrolment`: charging stations that knocked and that no site knows, for an operator to let in or send away."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Self

from fastapi import APIRouter, Body
from pydantic import BaseModel, Field

from app.api.auth import Admin
from app.api.services import Services, ServicesDep
from app.csms.enrolment import Applicant
from app.errors import NotFoundError
from app.events import SiteChanged
from app.problem_json.fields import Edge
from app.site import ChargingStationDocument, EvseDocument, Site

router = APIRouter(prefix="/v1/enrolment", tags=["charging stations"])


class ApplicantOut(BaseModel):
    charging_station_id: str
    address: str = Field(description="where it last came from")
    first_seen_at: datetime
    last_seen_at: datetime
    attempts: int
    has_key: bool = Field(description="it showed a key of its own, which approving it keeps; else set a password")
    has_certificate: bool = Field(description="it showed a certificate in its name that our authorities signed")

    @classmethod
    def of(cls, applicant: Applicant) -> Self:
        return cls(
            charging_station_id=applicant.station_id,
            address=applicant.address,
            first_seen_at=applicant.first_seen_at,
            last_seen_at=applicant.last_seen_at,
            attempts=applicant.attempts,
            has_key=applicant.password_hash is not None,
            has_certificate=applicant.has_certificate,
        )


class ApprovalIn(Edge):
    site_id: str
    evses: list[EvseDocument] = Field(default=[EvseDocument(id=1)], min_length=1, description="absent: one, number 1")


@router.get("")
async def list_applicants(services: ServicesDep, _: Admin) -> list[ApplicantOut]:
    """Unknown charging stations that tried to connect, oldest first. Empty unless `ocpp_enrolment` is set."""
    return [ApplicantOut.of(applicant) for applicant in services.enrolment.pending()]


@router.post("/{applicant_id}", status_code=HTTPStatus.CREATED)
async def approve(
    applicant_id: str,
    approval: Annotated[ApprovalIn, Body(openapi_examples={"one EVSE": {"value": {"site_id": "depot"}}})],
    services: ServicesDep,
    _: Admin,
) -> ChargingStationDocument:
    """Put the charging station into a site's document, with the key that it showed. It gets in when it next comes."""
    applicant = _applicant(services, applicant_id)
    site = await services.store.site(approval.site_id)
    document = ChargingStationDocument(id=applicant_id, evses=tuple(approval.evses))
    stations = [station for station in site.charging_stations if station.id != applicant_id]
    whole = site.model_dump(mode="json") | {
        "charging_stations": [station.model_dump(mode="json") for station in [*stations, document]]
    }
    await services.store.save_site(Site.model_validate(whole))
    if applicant.password_hash is not None:
        await services.store.set_password_hash(applicant_id, applicant.password_hash)
    services.enrolment.take(applicant_id)
    services.events.publish(SiteChanged(site.id, services.clock.now()))
    return document


@router.delete("/{applicant_id}", status_code=HTTPStatus.NO_CONTENT)
async def dismiss(applicant_id: str, services: ServicesDep, _: Admin) -> None:
    """Forget a charging station that knocked; it is recorded anew if it comes again."""
    _applicant(services, applicant_id)
    services.enrolment.take(applicant_id)


def _applicant(services: Services, station_id: str) -> Applicant:
    for applicant in services.enrolment.pending():
        if applicant.station_id == station_id:
            return applicant
    raise NotFoundError("applicant", station_id)
