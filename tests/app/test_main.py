"""The whole service on real sockets, and the process that `smartcharge serve` is."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx
import pytest

from app.api.sites import EXAMPLE as SITE
from app.clock import SystemClock
from app.errors import InvalidInputError
from app.keys import Keys
from app.main import open_store, service, session_secret
from app.settings import Settings


def settings(tmp_path: Path, **changed: Any) -> Settings:
    return Settings(http_port=0, ocpp_port=0, data_dir=tmp_path, **changed)


async def test_a_service_plans_a_site_that_came_over_http(tmp_path: Path) -> None:
    async with service(settings(tmp_path)) as running:
        key = await running.create_key("test")
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=running.http_url, headers=headers, timeout=60) as client:
            ready = await client.get("/health/ready")
            created = await client.post("/v1/sites", json=SITE)
            planned = await client.post("/v1/sites/depot/schedules", json={"dispatch": False})

        assert ready.json()["ocpp_port"] == running.gateway.port
        assert created.status_code == 201
        assert planned.status_code == 201, planned.text
        assert planned.json()["status"] == "optimal"
        assert [site.id for site in await running.store.sites()] == ["depot"]


async def test_what_was_stored_is_there_after_a_restart(tmp_path: Path) -> None:
    async with service(settings(tmp_path)) as running:
        key = await running.create_key("test")
        async with httpx.AsyncClient(base_url=running.http_url) as client:
            await client.post("/v1/sites", json=SITE, headers={"Authorization": f"Bearer {key}"})
            await client.post("/session", json={"key": key})
            cookies = client.cookies

    async with service(settings(tmp_path)) as running, httpx.AsyncClient(cookies=cookies) as client:
        assert [site["id"] for site in (await client.get(f"{running.http_url}/v1/sites")).json()] == ["depot"]


async def test_an_idle_keep_alive_connection_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async with httpx.AsyncClient() as client, service(settings(tmp_path)) as running:
        await client.get(f"{running.http_url}/health/live")
        start = perf_counter()

    assert perf_counter() - start < 2


async def test_a_port_that_is_taken_is_one_clear_line_and_leaves_nothing_running(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidInputError, match=f"{port} on 127.0.0.1 is taken"):
            async with service(Settings(http_port=port, ocpp_port=0, data_dir=tmp_path)):
                pytest.fail("it must not start")

    assert {task.get_name() for task in asyncio.all_tasks()}.isdisjoint({"control", "nightly", "http"})


def test_the_cookies_secret_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    made = session_secret(settings(tmp_path))

    assert session_secret(settings(tmp_path)) == made
    assert len(made) == 64
    assert (tmp_path / "session.secret").stat().st_mode & 0o777 == 0o600


def test_the_cookies_secret_may_be_set(tmp_path: Path) -> None:
    assert session_secret(settings(tmp_path, session_secret="chosen")) == b"chosen"
    assert not (tmp_path / "session.secret").exists()


async def _admin_key(of: Settings) -> str:
    async with open_store(of) as store:
        _, token = await Keys(store, SystemClock()).create("test", ["admin"])
    return token


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_serving_process_with_status_0_even_with_an_open_stream(
    tmp_path: Path, number: signal.Signals
) -> None:
    environment = os.environ | {
        "SMARTCHARGE_SOLVE_WORKERS": "process",
        "SMARTCHARGE_HTTP_PORT": "0",
        "SMARTCHARGE_OCPP_PORT": "0",
        "SMARTCHARGE_DATA_DIR": str(tmp_path),
    }
    key = asyncio.run(_admin_key(settings(tmp_path)))
    serving = subprocess.Popen(
        [sys.executable, "-m", "app", "serve"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a signal from a terminal reaches the processes that solve, too
    )
    try:
        assert serving.stderr is not None
        log = ""
        while "service started" not in log:
            line = serving.stderr.readline()
            assert line, log
            log += line
        url = re.search(r"http://[0-9.]+:\d+", log)
        assert url is not None
        with httpx.Client(base_url=url[0], headers={"Authorization": f"Bearer {key}"}) as client:
            client.post("/v1/sites", json=SITE).raise_for_status()
            with client.stream("GET", "/v1/sites/depot/events") as stream:
                lines = stream.iter_lines()
                next(lines)
                start = perf_counter()
                os.killpg(serving.pid, number)
                for _ in lines:
                    pass
                status = serving.wait(timeout=10)
        log += serving.stderr.read()
    finally:
        serving.kill()
        serving.communicate()

    assert status == 0, log
    assert perf_counter() - start < 20  # an open stream holds nobody up for good
    assert "Traceback" not in log
    assert key.split("_", 2)[2] not in log
