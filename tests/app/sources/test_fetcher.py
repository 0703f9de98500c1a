"""One request at a time: what is remembered, and how long a provider that fails is left alone."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from app.clock import SteppedClock
from app.sources.breaker import LONGEST_PAUSE, OPENS_AFTER, Breaker
from app.sources.fetcher import Fetcher
from app.sources.outbound import outbound_client
from forecasts.errors import NotPublishedError, SourceBusyError, SourceError
from forecasts.sources.energy_charts import EnergyCharts
from forecasts.sources.entsoe import Entsoe
from forecasts.sources.octopus import Octopus
from forecasts.sources.published import Request, Window
from tests.app.sources import recorded
from tests.app.sources.provider import Asked, Provider, Reply

NOW = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock(NOW)


@pytest.fixture
async def fetcher(clock: SteppedClock) -> AsyncIterator[Fetcher]:
    async with outbound_client(["127.0.0.1"]) as client:
        yield Fetcher(client, clock)


async def test_the_same_question_of_many_sites_is_asked_once_a_minute(
    provider: Provider, fetcher: Fetcher, clock: SteppedClock
) -> None:
    provider.replies(b"first", b"second")
    request = Request(f"{provider.url}/prices", {"zone": "DE-LU"})

    at_once = await asyncio.gather(*(fetcher.fetch("test", request) for _ in range(20)))
    await clock.run_until(NOW + MINUTE)
    later = await fetcher.fetch("test", request)

    assert set(at_once) == {b"first"}
    assert later == b"second"
    assert len(provider.asked) == 2


async def test_another_question_is_not_answered_by_the_first_ones_reply(provider: Provider, fetcher: Fetcher) -> None:
    provider.answer = lambda asked: Reply(asked.query["zone"].encode())

    answers = [await fetcher.fetch("test", Request(provider.url, {"zone": zone})) for zone in ("FR", "BE")]

    assert answers == [b"FR", b"BE"]


async def test_a_failure_is_not_repeated_for_half_a_minute(
    provider: Provider, fetcher: Fetcher, clock: SteppedClock
) -> None:
    provider.replies(Reply(status=500), b"fine")
    request = Request(provider.url)
    for _ in range(3):
        with pytest.raises(SourceError, match="status 500"):
            await fetcher.fetch("test", request)
    await clock.run_until(NOW + MINUTE / 2)

    assert await fetcher.fetch("test", request) == b"fine"
    assert len(provider.asked) == 2


@pytest.mark.parametrize(
    ("header", "pause_s"),
    [("90", 90), ("Sat, 28 Mar 2026 12:05:00 GMT", 300), ("Sat, 28 Mar 2026 11:00:00 GMT", 0), ("soon", None)],
)
async def test_a_pause_is_read_as_seconds_or_as_a_date(
    provider: Provider, fetcher: Fetcher, header: str, pause_s: float | None
) -> None:
    provider.replies(Reply(status=429, headers={"Retry-After": header}))

    with pytest.raises(SourceBusyError) as raised:
        await fetcher.fetch("test", Request(provider.url))

    assert raised.value.pause_s == pause_s


async def test_what_a_provider_says_with_status_400_is_heard(provider: Provider, fetcher: Fetcher) -> None:
    provider.replies(Reply(recorded.entsoe_acknowledgement("999", "No matching data found"), 400))
    adapter = Entsoe("10Y1001A1001A82H", "token", provider.url)

    with pytest.raises(NotPublishedError, match="No matching data found"):
        await fetcher.published(adapter, Window(NOW, NOW + timedelta(hours=1)))


async def test_what_is_not_found_is_not_published_only_where_the_provider_means_that(
    provider: Provider, fetcher: Fetcher
) -> None:
    provider.replies(Reply(status=404))
    window = Window(NOW, NOW + timedelta(hours=1))

    with pytest.raises(NotPublishedError):
        await fetcher.published(EnergyCharts("DE-LU", provider.url), window)
    with pytest.raises(SourceError, match="status 404") as raised:  # a product that does not exist
        await fetcher.published(Octopus("AGILE-00", "H", base_url=provider.url), window)
    assert not isinstance(raised.value, NotPublishedError)


async def test_all_pages_are_read(provider: Provider, fetcher: Fetcher) -> None:
    start, half = NOW, timedelta(minutes=30)

    def answer(asked: Asked) -> Reply:
        if asked.path == "/two":
            return Reply(recorded.octopus([(start, 0.1)], half))
        return Reply(recorded.octopus([(start + half, 0.2)], half, f"{provider.url}/two"))

    provider.answer = answer
    adapter = Octopus("AGILE-24-10-01", "H", base_url=provider.url)

    [one] = await fetcher.published(adapter, Window(start, start + 2 * half))

    assert one.values.tolist() == pytest.approx([0.1, 0.2])


async def test_pages_without_end_are_an_error(provider: Provider, fetcher: Fetcher) -> None:
    reply = recorded.octopus([(NOW, 0.1)], timedelta(minutes=30), f"{provider.url}/again")
    provider.replies(reply)

    with pytest.raises(SourceError, match="more than 20 pages"):
        await fetcher.published(
            Octopus("AGILE-24-10-01", "H", base_url=provider.url), Window(NOW, NOW + timedelta(hours=1))
        )


def test_pauses_double_up_to_an_hour_and_the_breaker_opens() -> None:
    breaker, now, pauses = Breaker(), NOW, []
    states = []
    for _ in range(12):
        breaker.failed(now, jitter=0.0)
        assert breaker.until is not None
        states.append(breaker.state(now))
        pauses.append(breaker.until - now)
        assert not breaker.allows(breaker.until - MINUTE / 60)
        now = breaker.until

    assert [pause.total_seconds() for pause in pauses[:5]] == [30, 60, 120, 240, 480]
    assert pauses[-1] == LONGEST_PAUSE
    assert states.index("open") == OPENS_AFTER - 1
    assert breaker.state(now) == "half_open"
    breaker.worked()
    assert breaker.state(now) == "closed"
    assert breaker.allows(NOW)


def test_a_pause_that_the_provider_asks_for_is_kept_within_reason() -> None:
    breaker = Breaker()
    breaker.failed(NOW, jitter=0.0, asked_pause=timedelta(minutes=20))
    assert breaker.until == NOW + timedelta(minutes=20)

    breaker.failed(NOW, jitter=0.0, asked_pause=timedelta(days=30))
    assert breaker.until == NOW + timedelta(hours=6)


def test_jitter_only_lengthens_a_pause() -> None:
    breaker = Breaker()

    breaker.failed(NOW, jitter=0.999)

    assert breaker.until is not None
    assert NOW + timedelta(seconds=30) < breaker.until < NOW + timedelta(seconds=46)
