from collections.abc import AsyncIterator

from tests.app.api.builders import an_api, wrong

JSON = {"content-type": "application/json"}


async def _chunks(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b" " * 1000


async def test_a_body_over_the_limit_is_refused_by_its_declared_length() -> None:
    async with an_api(max_body_bytes=2000) as api:
        response = await api.client.post("/v1/optimize", content=b" " * 2001, headers=JSON)

        wrong(response, 413)
        assert "2000" in response.json()["detail"]


async def test_a_body_over_the_limit_that_declares_no_length_is_refused_as_it_comes() -> None:
    async with an_api(max_body_bytes=2000) as api:
        wrong(await api.client.post("/v1/optimize", content=_chunks(3), headers=JSON), 413)
        assert (await api.client.post("/v1/optimize", content=_chunks(2), headers=JSON)).status_code != 413


async def test_an_upload_may_be_larger_up_to_its_own_limit() -> None:
    async with an_api(max_body_bytes=2000, max_upload_bytes=5000) as api:
        small = await api.client.post("/v1/sites/depot/readings", content=b" " * 4000, headers=JSON)
        large = await api.client.post("/v1/sites/depot/readings", content=b" " * 5001, headers=JSON)
        chunked = await api.client.post("/v1/sites/depot/readings", content=_chunks(6), headers=JSON)

    assert small.status_code == 400
    wrong(large, 413)
    wrong(chunked, 413)


async def test_a_large_body_without_a_key_is_refused_before_it_is_read() -> None:
    async with an_api(max_body_bytes=2000) as api:
        wrong(await api.anonymous.post("/v1/optimize", content=b" " * 100_000, headers=JSON), 401)


async def test_a_length_that_is_no_length_does_not_break_the_count() -> None:
    async with an_api(max_body_bytes=2000) as api:
        headers = JSON | {"content-length": "9" * 400}
        wrong(await api.client.post("/v1/optimize", content=b"{}", headers=headers), 413)
