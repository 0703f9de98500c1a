"""`/v1/sites/{id}/certificate`: what is proven of the site's fuses, whichever links drop."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.api.auth import Reader
from app.api.services import ServicesDep, StoreDep
from app.dispatch.certificate import certificate_to_json

router = APIRouter(prefix="/v1/sites", tags=["sites"])


class CertifiedFuseOut(BaseModel):
    """One limit at its worst moment: rating >= base + charging."""

    circuit_id: str
    phase: str | None = Field(description="null: a limit in kW")
    unit: Literal["A", "kW"]
    rating: float
    base: float | None = Field(description="the building at its maximum; null: nobody knows it")
    charging: float = Field(description="the most that all chargers below it may draw together")
    margin: float | None = Field(description="rating less base and charging; negative: so much too much")
    worst_at: datetime
    holds_from: datetime | None = Field(description="from then on it holds for good; null: it does not")


class CertificateOut(BaseModel):
    """The fail-safe certificate of a site."""

    site_id: str
    made_at: datetime
    holds: bool = Field(description="every fuse holds from now on with any mix of lost and kept links")
    holds_from: datetime | None = Field(
        description="when everything above what is covered has run out; null: some fuse stays exposed"
    )
    fuses: list[CertifiedFuseOut]
    fallback_a: dict[str, float] = Field(description="A per phase that each EVSE holds when nobody speaks to it")
    unlimited: list[str] = Field(description="EVSEs without a confirmed fallback: counted with all their hardware")
    isolated: list[str] = Field(description="EVSEs that an operator vouches for while they are not connected")
    max_base_load_kw: float | None
    base_source: Literal["configured", "observed"] | None
    assumptions: list[str] = Field(description="what the proof rests on")


@router.get("/{site_id}/certificate")
async def get_certificate(site_id: str, store: StoreDep, services: ServicesDep, _: Reader) -> CertificateOut:
    """What happens on every fuse if all links drop now, the service itself included, and what that rests on."""
    return CertificateOut.model_validate(certificate_to_json(await services.certify(await store.site(site_id))))


@router.get("/{site_id}/certificates")
async def get_certificates(
    site_id: str, store: StoreDep, _: Reader, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> list[CertificateOut]:
    """What was proven before, newest first: one for each time that it changed."""
    await store.site(site_id)
    return [CertificateOut.model_validate(document) for document in await store.certificates(site_id, limit)]
