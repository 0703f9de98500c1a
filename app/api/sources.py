"""`/v1/sites/{id}/sources`: who is asked for a site's signals, and how each of them is doing."""

from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.auth import Reader
from app.api.services import ServicesDep
from app.sources.document import Serves
from app.sources.feed import Feed, State
from app.sources.group import Group

router = APIRouter(prefix="/v1/sites", tags=["series"])


class BreakerOut(BaseModel):
    state: Literal["closed", "open", "half_open"] = Field(description="open: the provider is left alone for a while")
    failures: int = Field(description="in a row")
    until: datetime | None = Field(description="not asked before; null: may be asked")


class SourceOut(BaseModel):
    source: str = Field(description="its name: the source of the series that it gives")
    type: str
    serves: Serves
    rank: int = Field(description="0 is asked first; the next one stands in where it does not deliver")
    state: State = Field(description="waiting: the provider answers, and what is asked for is not out yet")
    error: str | None = Field(description="why the last poll gave nothing; null: it did, or there was none")
    polled_at: datetime | None
    last_good_at: datetime | None = Field(description="when it last gave values; they are kept as series")
    age_s: float | None = Field(description="since then")
    known_until: datetime | None = Field(description="the end of what it has ever said")
    next_poll_at: datetime | None = Field(description="when its group is looked at next")
    late: bool = Field(description="prices of tomorrow are not there after 15:00 in Central Europe")
    licence: str
    breaker: BreakerOut

    @classmethod
    def of(cls, group: Group, rank: int, feed: Feed, now: datetime) -> "SourceOut":
        return cls(
            source=feed.source.name,
            type=feed.source.type,
            serves=feed.serves,
            rank=rank,
            state=feed.state(),
            error=feed.misconfigured or feed.error,
            polled_at=feed.polled_at,
            last_good_at=feed.good_at,
            age_s=None if feed.good_at is None else (now - feed.good_at).total_seconds(),
            known_until=feed.good_until,
            next_poll_at=group.next_at,
            late=group.late,
            licence=feed.licence,
            breaker=BreakerOut(state=feed.breaker.state(now), failures=feed.breaker.failures, until=feed.breaker.until),
        )


@router.get("/{site_id}/sources")
async def get_sources(site_id: str, services: ServicesDep, _: Reader) -> list[SourceOut]:
    """Each source of a site: its last good reply, age, and what is wrong with it, the preferred ones first."""
    await services.store.site(site_id)
    if services.sources is None:
        return []
    now = services.clock.now()
    return [
        SourceOut.of(group, rank, feed, now)
        for group in services.sources.groups(site_id)
        for rank, feed in enumerate(group.feeds)
    ]
