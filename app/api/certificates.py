"""`/v1/sites/{id}/certificate`: what is proven of the site's fuses, whichever links drop."""

from datetime import datetime
from typing import Literal, Self

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.auth import Reader
from app.api.services import ServicesDep, StoreDep
from app.dispatch.certificate import Certificate, CertifiedFuse

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

    @classmethod
    def of(cls, fuse: CertifiedFuse) -> Self:
        return cls(
            circuit_id=fuse.circuit_id,
            phase=fuse.phase,
            unit="kW" if fuse.phase is None else "A",
            rating=fuse.rating,
            base=fuse.base,
            charging=fuse.charging,
            margin=fuse.margin,
            worst_at=fuse.worst_at,
            holds_from=fuse.holds_from,
        )


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

    @classmethod
    def of(cls, certificate: Certificate) -> Self:
        return cls(
            site_id=certificate.site_id,
            made_at=certificate.made_at,
            holds=certificate.holds,
            holds_from=certificate.holds_from,
            fuses=[CertifiedFuseOut.of(fuse) for fuse in certificate.fuses],
            fallback_a=dict(certificate.fallback_a),
            unlimited=list(certificate.unlimited),
            isolated=list(certificate.isolated),
            max_base_load_kw=certificate.max_base_load_kw,
            base_source=certificate.base_source,
            assumptions=list(certificate.assumptions),
        )


@router.get("/{site_id}/certificate")
async def get_certificate(site_id: str, store: StoreDep, services: ServicesDep, _: Reader) -> CertificateOut:
    """What happens on every fuse if all links drop now, the service itself included, and what that rests on."""
    return CertificateOut.of(await services.certify(await store.site(site_id)))
