"""When prices are due: the day-ahead auction's calendar, on Central Europe's clock.

Its results are out a little before one o'clock. Asking starts at 12:58, every three minutes until half past one, then
every ten until the day is there; at three it counts as late. A British day is the same: from 23:00 to 23:00 there is
midnight to midnight here, all year, though its rates are out in the afternoon.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from forecasts.sources.published import Window

ZONE = ZoneInfo("Europe/Berlin")
OPENS, EASES, LATE = time(12, 58), time(13, 30), time(15, 0)
EAGER, PATIENT = timedelta(minutes=3), timedelta(minutes=10)
SPREAD = timedelta(seconds=60)  # not every service in Europe asks in the same second


@dataclass(frozen=True, slots=True)
class PriceDay:
    """A day of delivery, and when its prices are first asked for."""

    window: Window
    due_at: datetime


def price_days(now: datetime) -> tuple[PriceDay, PriceDay]:
    """Today, which is due, and tomorrow, from 12:58 on."""
    today = now.astimezone(ZONE).date()
    midnights = [datetime.combine(today + timedelta(days=days), time(0), ZONE).astimezone(UTC) for days in range(3)]
    opens = datetime.combine(today, OPENS, ZONE).astimezone(UTC)
    return (
        PriceDay(Window(midnights[0], midnights[1]), midnights[0]),
        PriceDay(Window(midnights[1], midnights[2]), opens),
    )


def next_look(now: datetime, jitter: float) -> datetime:
    """When prices that are due and not out are asked for again; `jitter` in [0, 1)."""
    local = now.astimezone(ZONE).time()
    pause = EAGER if OPENS <= local < EASES else PATIENT
    return now + pause + SPREAD * jitter


def is_late(now: datetime) -> bool:
    """Whether tomorrow's prices, if they are not there, are late."""
    return now.astimezone(ZONE).time() >= LATE
