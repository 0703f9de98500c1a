"""One source of one site: how it is doing, and one poll of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import pandas as pd

from app.db.records import StoredSeries
from app.errors import InvalidInputError
from app.site import Site
from app.sources.adapters import Tokens, adapter_of
from app.sources.breaker import Breaker
from app.sources.document import Serves, Source, TibberSource
from app.sources.fetcher import Fetcher
from app.sources.plausible import require_plausible
from forecasts.errors import NotPublishedError, SourceBusyError, SourceError
from forecasts.sources.published import Adapter, Published, Window

State = Literal["new", "good", "waiting", "failing", "misconfigured"]


@dataclass(slots=True)
class Feed:
    """A source and what became of it. `poll` asks it once, whatever the breaker says: the group asks that first."""

    site: Site
    source: Source
    adapter: Adapter | None
    misconfigured: str | None = None
    breaker: Breaker = field(default_factory=Breaker)
    polled_at: datetime | None = None
    good_at: datetime | None = None
    good_until: datetime | None = None  # the end of what was published
    licence: str = ""
    error: str | None = None
    last: Mapping[str, pd.Series] = field(default_factory=dict)  # by kind, what it published last
    waits: bool = False  # the provider answers, but what is asked for is not out

    @classmethod
    def of(cls, site: Site, source: Source, tokens: Tokens) -> "Feed":
        try:
            return cls(site, source, adapter_of(site, source, tokens))
        except InvalidInputError as error:
            return cls(site, source, None, misconfigured=str(error))

    @property
    def serves(self) -> Serves:
        return self.source.serves

    def state(self) -> State:
        if self.adapter is None:
            return "misconfigured"
        if self.error is not None:
            return "waiting" if self.waits else "failing"
        return "new" if self.good_at is None else "good"

    def may_ask(self, now: datetime) -> bool:
        return self.adapter is not None and self.breaker.allows(now)

    async def poll(self, fetcher: Fetcher, window: Window, now: datetime, jitter: float) -> tuple[Published, ...]:
        """What it publishes for the window; of prices all of it. Raises `SourceError`, after noting what went wrong."""
        if self.adapter is None:
            raise SourceError(self.source.name, self.misconfigured or "is not configured")
        self.polled_at = now
        try:
            published = await fetcher.published(self.adapter, window)
            published = self._believed(published, window)
        except NotPublishedError as error:
            self.error, self.waits = error.message, True
            self.breaker.worked()
            raise
        except SourceError as error:
            self.error, self.waits = error.message, False
            pause_s = error.pause_s if isinstance(error, SourceBusyError) else None
            self.breaker.failed(now, jitter, None if pause_s is None else timedelta(seconds=pause_s))
            raise
        self.breaker.worked()
        self.error, self.waits, self.good_at = None, False, now
        ends = [one.values.index[-1].to_pydatetime() + one.step for one in published if len(one.values)]
        self.good_until = max(ends, default=None)
        self.licence = published[0].licence
        return published

    def _believed(self, published: tuple[Published, ...], window: Window) -> tuple[Published, ...]:
        name = self.source.name
        if self.serves == "price":
            published = tuple(_within(one, window) for one in published)
            for one in published:
                missing = one.missing(window)
                if missing is not None:
                    raise NotPublishedError(name, f"no {one.kind} for {missing.isoformat()}: the day is not whole")
        require_plausible(
            name,
            published,
            currency=self.site.currency,
            peak_kw=sum(array.peak_kw for array in self.site.pv_arrays) or None,
            may_be_flat=isinstance(self.source, TibberSource),  # its customers may have a fixed price
        )
        return published

    def news(self, published: Sequence[Published]) -> list[Published]:
        """What is worth keeping. A utility is asked every few minutes: what it said last time is not kept again."""
        if self.serves != "programme":
            return list(published)
        fresh = [one for one in published if len(one.values) and not _says_no_more(one.values, self.last.get(one.kind))]
        self.last = {**self.last, **{one.kind: one.values for one in published}}
        return fresh


def _says_no_more(values: pd.Series, last: pd.Series | None) -> bool:
    return last is not None and bool((last.reindex(values.index) == values).all())


def stored(site_id: str, source: str, published: Sequence[Published], now: datetime) -> list[StoredSeries]:
    """As rows of the store, one for each stretch without a gap."""
    rows = []
    for one in published:
        starts = pd.DatetimeIndex(one.values.index)
        breaks = (starts[1:] - starts[:-1]) != one.step
        stretch = pd.Series([0, *breaks.cumsum()], index=starts)
        for _, part in one.values.groupby(stretch):
            rows.append(
                StoredSeries(
                    site_id=site_id,
                    kind=one.kind,
                    source=source,
                    issued_at=now,
                    start=part.index[0].to_pydatetime(),
                    resolution_minutes=round(one.step / timedelta(minutes=1)),
                    unit=one.unit,
                    values=tuple(part.tolist()),
                )
            )
    return rows


def _within(one: Published, window: Window) -> Published:
    starts = pd.DatetimeIndex(one.values.index)
    inside = one.values[(starts >= pd.Timestamp(window.start)) & (starts < pd.Timestamp(window.end))]
    return Published(one.kind, inside, one.step, one.unit, one.licence)
