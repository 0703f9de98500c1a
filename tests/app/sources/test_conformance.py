"""What every adapter has to stand, over real HTTP: good days of every length, and all the bad days of a provider."""

import gzip
import logging
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pandas as pd
import pytest

from app.clock import SteppedClock
from app.sources.fetcher import Fetcher
from app.sources.outbound import outbound_client
from forecasts.errors import NotPublishedError, SourceBusyError, SourceError
from forecasts.local_days import day_slots
from forecasts.sources.published import Published, Window
from tests.app.sources.provider import Provider, Reply
from tests.app.sources.recorded import RECORDINGS, SECRET, Recording, Rows

NOW = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
DAY = date(2026, 3, 28)
SHORT, USUAL, LONG = date(2026, 3, 29), DAY, date(2026, 10, 25)
EVERY = pytest.mark.parametrize("name", RECORDINGS)
BOMB = gzip.compress(b" " * 30_000_000)
PRICES = pytest.mark.parametrize("name", [name for name, one in RECORDINGS.items() if one.is_price])


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    async with outbound_client(["127.0.0.1"]) as client:
        yield Fetcher(client, SteppedClock(NOW), max_bytes=200_000, longest_s=0.25)


def window_of(day: date) -> Window:
    slots = day_slots(day, "Europe/Berlin", 60)
    return Window(slots[0].to_pydatetime(), slots[-1].to_pydatetime() + timedelta(hours=1))


def rows_of(recording: Recording, day: date = DAY, **changed: float | None) -> list[tuple[datetime, float | None]]:
    """A different value in each step of the day; `changed` names some by ``at_N``."""
    starts = day_slots(day, "Europe/Berlin", recording.step_minutes)
    values: list[float | None] = [round(0.01 + 0.001 * n, 6) for n in range(len(starts))]
    for key, value in changed.items():
        values[int(key.removeprefix("at_"))] = value
    return [(start.to_pydatetime(), value) for start, value in zip(starts, values, strict=True)]


async def published(
    fetcher: Fetcher, provider: Provider, recording: Recording, rows: Rows, day: date = DAY
) -> pd.Series:
    provider.replies(recording.reply(rows, recording.step))
    return of_kind(await fetcher.published(recording.make(provider.url), window_of(day)), recording.kind)


def of_kind(all_published: Sequence[Published], kind: str) -> pd.Series:
    [one] = [one for one in all_published if one.kind == kind]
    assert not one.values.isna().any()
    return one.values


@EVERY
@pytest.mark.parametrize("day", [SHORT, USUAL, LONG])
async def test_a_day_of_any_length_is_read_whole_and_in_order(
    provider: Provider, fetcher: Fetcher, name: str, day: date
) -> None:
    recording = RECORDINGS[name]

    values = await published(fetcher, provider, recording, rows_of(recording, day), day)

    assert list(values.index) == list(day_slots(day, "Europe/Berlin", recording.step_minutes))
    assert values.tolist() == pytest.approx([value for _, value in rows_of(recording, day)])
    assert str(values.index[0].tz) == "UTC"


@PRICES
async def test_negative_prices_are_prices(provider: Provider, fetcher: Fetcher, name: str) -> None:
    recording = RECORDINGS[name]

    values = await published(fetcher, provider, recording, rows_of(recording, at_5=-0.25))

    assert values.iloc[5] == pytest.approx(-0.25)


@PRICES
async def test_a_price_that_is_absent_in_the_middle_is_never_made_up(
    provider: Provider, fetcher: Fetcher, name: str
) -> None:
    recording = RECORDINGS[name]
    rows = rows_of(recording, at_5=None)
    provider.replies(recording.reply(rows, recording.step))

    try:
        found = await fetcher.published(recording.make(provider.url), window_of(DAY))
    except SourceError:
        return  # refused: as good

    [one] = found
    assert one.missing(window_of(DAY)) == rows[5][0]
    assert 0.0 not in one.values.tolist()


@PRICES
async def test_half_a_day_is_known_to_be_half_a_day(provider: Provider, fetcher: Fetcher, name: str) -> None:
    recording = RECORDINGS[name]
    rows = rows_of(recording)
    half = rows[: len(rows) // 2]

    provider.replies(recording.reply(half, recording.step))
    [one] = await fetcher.published(recording.make(provider.url), window_of(DAY))

    assert one.missing(window_of(DAY)) == rows[len(rows) // 2][0]


@EVERY
async def test_a_value_that_comes_twice_counts_once_or_is_refused(
    provider: Provider, fetcher: Fetcher, name: str
) -> None:
    recording = RECORDINGS[name]
    rows = rows_of(recording)
    provider.replies(recording.reply([*rows[:4], rows[3], *rows[4:]], recording.step))

    try:
        found = await fetcher.published(recording.make(provider.url), window_of(DAY))
    except SourceError as error:
        found, refusal = (), str(error)

    if found:
        assert of_kind(found, recording.kind).tolist() == pytest.approx([value for _, value in rows])
    else:
        assert any(reason in refusal for reason in ("twice", "two values", "not quarter hours"))


@pytest.mark.parametrize("name", [name for name, one in RECORDINGS.items() if one.says_duplicates])
async def test_two_values_for_one_moment_are_refused(provider: Provider, fetcher: Fetcher, name: str) -> None:
    recording = RECORDINGS[name]
    rows = rows_of(recording)
    provider.replies(recording.reply([*rows[:4], (rows[3][0], 0.9), *rows[4:]], recording.step))

    with pytest.raises(SourceError):
        await fetcher.published(recording.make(provider.url), window_of(DAY))


@pytest.mark.parametrize("name", [name for name, one in RECORDINGS.items() if one.says_null and not one.is_price])
async def test_a_forecast_with_a_null_is_not_filled_with_0(provider: Provider, fetcher: Fetcher, name: str) -> None:
    recording = RECORDINGS[name]
    rows = rows_of(recording, at_5=None)
    provider.replies(recording.reply(rows, recording.step))

    try:
        found = await fetcher.published(recording.make(provider.url), window_of(DAY))
    except SourceError:
        return

    values = of_kind(found, recording.kind)
    assert pd.Timestamp(rows[5][0]) not in values.index
    assert len(values) == len(rows) - 1


async def failure(fetcher: Fetcher, provider: Provider, name: str, *replies: Reply | bytes) -> SourceError:
    """What is raised, after a look for the secret in its text."""
    provider.replies(*replies)
    with pytest.raises(SourceError) as raised:
        await fetcher.published(RECORDINGS[name].make(provider.url), window_of(DAY))
    assert SECRET not in str(raised.value)
    return raised.value


@EVERY
async def test_429_says_for_how_long_to_wait(provider: Provider, fetcher: Fetcher, name: str) -> None:
    error = await failure(fetcher, provider, name, Reply(status=429, headers={"Retry-After": "120"}))

    assert isinstance(error, SourceBusyError)
    assert error.pause_s == 120
    assert "429" in str(error)


@EVERY
@pytest.mark.parametrize("status", [400, 401, 403, 500, 502, 504])
async def test_other_statuses_are_named(provider: Provider, fetcher: Fetcher, name: str, status: int) -> None:
    assert f"status {status}" in str(await failure(fetcher, provider, name, Reply(b"{}", status)))


@EVERY
async def test_503_is_busy_and_204_is_not_published(provider: Provider, fetcher: Fetcher, name: str) -> None:
    busy = await failure(fetcher, provider, name, Reply(status=503))

    assert isinstance(busy, SourceBusyError)
    assert busy.pause_s is None


@EVERY
async def test_nothing_there_is_not_published(provider: Provider, fetcher: Fetcher, name: str) -> None:
    assert isinstance(await failure(fetcher, provider, name, Reply(status=204)), NotPublishedError)


@EVERY
async def test_a_provider_that_hangs_is_left_after_its_time(provider: Provider, fetcher: Fetcher, name: str) -> None:
    hanging = Reply(b'{"data"', headers={"Content-Length": "1000"}, hangs=True)

    assert "no whole answer within" in str(await failure(fetcher, provider, name, hanging))


@EVERY
async def test_html_in_place_of_data_is_refused(provider: Provider, fetcher: Fetcher, name: str) -> None:
    page = Reply(b"<!DOCTYPE html><html><body>Maintenance</body></html>", headers={"Content-Type": "text/html"})

    error = await failure(fetcher, provider, name, page)

    assert not isinstance(error, NotPublishedError)
    assert "HTML" in str(error) or "XML" in str(error)


@EVERY
@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"null", b'"text"', b'{"data": 7}', b"\xff\xfe\x00", b"[" * 5000])
async def test_a_reply_of_another_shape_is_refused(
    provider: Provider, fetcher: Fetcher, name: str, body: bytes
) -> None:
    await failure(fetcher, provider, name, body)


@EVERY
async def test_a_reply_cut_short_is_refused(provider: Provider, fetcher: Fetcher, name: str) -> None:
    recording = RECORDINGS[name]
    whole = recording.reply(rows_of(recording), recording.step)

    await failure(fetcher, provider, name, whole[: len(whole) // 2])


@pytest.mark.parametrize("name", [name for name, one in RECORDINGS.items() if one.is_json])
@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e999", b'"12"', b"true"])
async def test_what_is_no_number_is_refused(provider: Provider, fetcher: Fetcher, name: str, number: bytes) -> None:
    recording = RECORDINGS[name]
    marked = recording.reply(rows_of(recording, at_5=0.123457), recording.step)
    written = next(text for text in (b"123.457", b"12.3457", b"0.123457", b"30.86425") if text in marked)

    error = await failure(fetcher, provider, name, marked.replace(written, number, 1))

    assert not isinstance(error, NotPublishedError)


@EVERY
async def test_a_redirect_is_not_followed(provider: Provider, fetcher: Fetcher, name: str) -> None:
    elsewhere = Reply(status=302, headers={"Location": f"{provider.url}/elsewhere"})

    assert "redirects are not followed" in str(await failure(fetcher, provider, name, elsewhere))
    assert len(provider.asked) == 1


@EVERY
async def test_a_reply_without_end_is_cut_off(provider: Provider, fetcher: Fetcher, name: str) -> None:
    assert "larger than 200000 bytes" in str(await failure(fetcher, provider, name, b" " * 300_000))


@EVERY
async def test_a_bomb_is_not_unpacked(provider: Provider, fetcher: Fetcher, name: str) -> None:
    bomb = Reply(BOMB, headers={"Content-Encoding": "gzip"})

    assert "larger than 200000 bytes" in str(await failure(fetcher, provider, name, bomb))


@EVERY
async def test_a_packed_reply_is_read(provider: Provider, fetcher: Fetcher, name: str) -> None:
    recording = RECORDINGS[name]
    rows = rows_of(recording)
    provider.replies(Reply(gzip.compress(recording.reply(rows, recording.step)), headers={"Content-Encoding": "gzip"}))

    found = await fetcher.published(recording.make(provider.url), window_of(DAY))

    assert of_kind(found, recording.kind).tolist() == pytest.approx([value for _, value in rows])


@EVERY
async def test_a_provider_that_is_away_is_named_without_its_secret(fetcher: Fetcher, name: str) -> None:
    adapter = RECORDINGS[name].make("http://127.0.0.1:1")

    with pytest.raises(SourceError, match=f"{adapter.name}: no answer") as raised:
        await fetcher.published(adapter, window_of(DAY))

    assert SECRET not in f"{raised.value}{raised.value.__cause__}"


@pytest.mark.parametrize("name", [name for name, one in RECORDINGS.items() if one.has_secret])
async def test_a_token_reaches_the_provider_and_no_log(
    provider: Provider, fetcher: Fetcher, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    recording = RECORDINGS[name]
    adapter = recording.make(provider.url)

    with caplog.at_level(logging.DEBUG):
        await published(fetcher, provider, recording, rows_of(recording))
        provider.replies(Reply(SECRET.encode(), 401))
        await _ignored(Fetcher(httpx.AsyncClient(trust_env=False), SteppedClock(NOW)), adapter)

    [asked, _] = provider.asked
    assert SECRET in f"{asked.path}{asked.query}{asked.headers}"
    assert SECRET not in caplog.text
    assert SECRET not in f"{adapter!r}{adapter.requests(window_of(DAY))!r}"


async def _ignored(fetcher: Fetcher, adapter: Any) -> None:
    with pytest.raises(SourceError):
        await fetcher.published(adapter, window_of(DAY))
