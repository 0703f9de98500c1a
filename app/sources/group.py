"""The sources of a site that serve one purpose: the first one that delivers wins, the others stand by."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

import structlog

from app.sources.document import Serves
from app.sources.feed import Feed
from app.sources.fetcher import Fetcher
from app.sources.timetable import is_late, next_look, price_days
from forecasts.errors import NotPublishedError, SourceError
from forecasts.sources.published import Published, Window

log = structlog.get_logger()

LOOK_AHEAD = timedelta(hours=72)  # of forecasts: what the longest usual horizon needs, and a night more
PREFERRED_AGAIN = timedelta(hours=1)  # how often the first source is tried while another one stands in for it


@dataclass(frozen=True, slots=True)
class Polled:
    """One poll. `published` is empty where it failed; then `error` says how."""

    feed: Feed
    published: tuple[Published, ...] = ()
    error: SourceError | None = None

    @property
    def outcome(self) -> str:
        if self.error is None:
            return "delivered"
        return "not_published" if isinstance(self.error, NotPublishedError) else "failed"


@dataclass(slots=True)
class Group:
    """Sources in order of preference. `held` says by rank who delivered a day of prices, by the day's start."""

    serves: Serves
    feeds: Sequence[Feed]
    random: Random
    held: dict[datetime, int] = field(default_factory=dict)
    next_at: datetime | None = None
    served_at: datetime | None = None  # forecasts: when last, by whomever
    late: bool = False

    def is_due(self, now: datetime) -> bool:
        return self.next_at is None or now >= self.next_at

    async def poll(self, fetcher: Fetcher, now: datetime) -> AsyncIterator[Polled]:
        """Ask for what is missing, and note when to look again. Each poll is told as it ends."""
        if self.serves == "price":
            async for polled in self._prices(fetcher, now):
                yield polled
        else:
            async for polled in self._forecast(fetcher, now):
                yield polled

    async def _prices(self, fetcher: Fetcher, now: datetime) -> AsyncIterator[Polled]:
        days = price_days(now)
        self.held = {start: rank for start, rank in self.held.items() if start >= days[0].window.start}
        missing = stand_in = False
        for day in days:
            if now < day.due_at:
                continue
            before = self.held.get(day.window.start, len(self.feeds))
            async for polled in self._first_that_delivers(fetcher, day.window, now, before):
                yield polled
                if polled.error is None:
                    self.held[day.window.start] = self.feeds.index(polled.feed)
            missing |= day.window.start not in self.held
            stand_in |= self.held.get(day.window.start, 0) > 0
        tomorrow = days[1]
        is_late_now = now >= tomorrow.due_at and tomorrow.window.start not in self.held and is_late(now)
        if is_late_now and not self.late:
            log.warning("tomorrow's prices are late", site=self.feeds[0].site.id)
        self.late = is_late_now
        self.next_at = self._look_again(now, missing=missing, stand_in=stand_in)

    def _look_again(self, now: datetime, *, missing: bool, stand_in: bool) -> datetime:
        jitter = self.random.random()
        tomorrow = price_days(now)[1]
        opens = tomorrow.due_at if now < tomorrow.due_at else price_days(tomorrow.window.start)[1].due_at
        opens += timedelta(seconds=60) * jitter
        if missing:
            resting = [f.breaker.until for f in self.feeds if f.adapter and f.breaker.until and f.breaker.until > now]
            look = next_look(now, jitter)
            return min(opens, *resting, look) if resting else min(opens, look)
        if stand_in:
            return min(opens, now + PREFERRED_AGAIN * (1 + jitter / 10))
        return opens

    async def _forecast(self, fetcher: Fetcher, now: datetime) -> AsyncIterator[Polled]:
        hour = now.replace(minute=0, second=0, microsecond=0)
        window = Window(hour, hour + LOOK_AHEAD)
        served: Feed | None = None
        async for polled in self._first_that_delivers(fetcher, window, now, len(self.feeds)):
            yield polled
            if polled.error is None:
                served, self.served_at = polled.feed, now
        usual = timedelta(minutes=min(getattr(feed.source, "every_minutes", 60) for feed in self.feeds[:1]))
        look = now + usual * (1 + self.random.random() / 10)
        if served is not self.feeds[0]:
            resting = [f.breaker.until for f in self.feeds if f.adapter and f.breaker.until and f.breaker.until > now]
            look = min([look, *resting])
        self.next_at = look

    async def _first_that_delivers(
        self, fetcher: Fetcher, window: Window, now: datetime, before: int
    ) -> AsyncIterator[Polled]:
        """Polls of the sources of a rank under `before`, up to the first that works; those that rest are left out."""
        for feed in self.feeds[:before]:
            if not feed.may_ask(now):
                continue
            try:
                published = await feed.poll(fetcher, window, now, self.random.random())
            except SourceError as error:
                yield Polled(feed, error=error)
                continue
            yield Polled(feed, published)
            return
