from datetime import timedelta

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from app.api.application import openapi_document
from app.api.auth import COOKIE, Sessions
from app.clock import SteppedClock
from app.errors import UnauthorizedError
from tests.app.api.builders import ADMIN, NOW, READ, SITE, WRITE, Api, an_api, wrong

OPERATIONS = [
    (method.upper(), path) for path, item in openapi_document()["paths"].items() for method in item if "/v1" in path
]


async def test_nothing_under_v1_is_told_without_a_key() -> None:
    async with an_api() as api:
        for method, path in OPERATIONS:
            response = await api.anonymous.request(method, path.replace("{", "").replace("}", ""), json={})

            wrong(response, 401)
            assert response.headers["www-authenticate"].startswith("Bearer")


async def test_every_route_under_v1_names_the_scope_it_needs() -> None:
    async with an_api() as api:
        routes = [route for route in iter_route_contexts(api.app.routes) if (route.path or "").startswith("/v1")]

        nameless = [route.path for route in routes if not _scopes(route.dependant)]

    assert len(routes) == len(OPERATIONS)
    assert nameless == []


def _scopes(dependant: Dependant) -> list[str]:
    names = [getattr(dependency.call, "__name__", "") for dependency in dependant.dependencies]
    return [name for name in names if name.startswith("requires_")]


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v1/sites", READ),
        ("GET", "/v1/sites/depot/now", READ),
        ("POST", "/v1/sites/depot/schedules", WRITE),
        ("POST", "/v1/sites/depot/readings", WRITE),
        ("POST", "/v1/sites/depot/sessions", WRITE),
        ("POST", "/v1/sites/depot/series", WRITE),
        ("POST", "/v1/sites", ADMIN),
        ("PUT", "/v1/sites/depot", ADMIN),
        ("DELETE", "/v1/sites/depot", ADMIN),
        ("GET", "/v1/keys", ADMIN),
        ("POST", "/v1/charging-stations/cs01/password", ADMIN),
    ],
)
async def test_a_key_may_do_what_its_scope_says_and_no_more(method: str, path: str, scope: str) -> None:
    scopes = (READ, WRITE, ADMIN)
    body = {"dispatch": False} if path.endswith("schedules") else SITE if "sites" in path else {}
    async with an_api() as api:
        for held in scopes:
            response = await api.anonymous.request(method, path, json=body, headers=await api.as_(held))

            assert (response.status_code == 403) == (scopes.index(held) < scopes.index(scope)), (held, response.text)


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer sc_", "Basic YWRtaW46YWRtaW4=", "Bearer sc_000000000000_" + "A" * 43, "Bearer \u00e9\u00e9"],
)
async def test_a_key_that_is_none_is_refused(header: str) -> None:
    async with an_api() as api:
        response = await api.anonymous.get("/v1/sites", headers={b"Authorization": header.encode("latin-1")})

        wrong(response, 401)


async def test_a_revoked_key_is_refused_at_once() -> None:
    async with an_api() as api:
        key, token = await api.keys.create("leaked", [READ])
        headers = {"Authorization": f"Bearer {token}"}
        assert (await api.anonymous.get("/v1/sites", headers=headers)).status_code == 200

        await api.client.delete(f"/v1/keys/{key.key_id}")

        wrong(await api.anonymous.get("/v1/sites", headers=headers), 401)


async def test_answers_that_needed_a_key_are_kept_by_no_cache() -> None:
    async with an_api() as api:
        assert (await api.client.get("/v1/sites")).headers["cache-control"] == "no-store"


async def _log_in(api: Api) -> None:
    _, token = await api.keys.create("dashboard", [ADMIN])
    opened = await api.anonymous.post("/session", json={"key": token})
    assert opened.status_code == 200, opened.text
    cookie = opened.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert token.lower() not in cookie


async def test_the_dashboards_cookie_reads_like_its_key() -> None:
    async with an_api() as api:
        await _log_in(api)

        assert (await api.anonymous.get("/v1/sites")).status_code == 200
        assert (await api.anonymous.get("/session")).json()["name"] == "dashboard"


async def test_a_write_by_cookie_needs_a_header_that_another_site_cannot_send() -> None:
    async with an_api() as api:
        await _log_in(api)
        ask = {"dispatch": False}

        bare = await api.anonymous.post("/v1/sites/depot/schedules", json=ask)
        own = await api.anonymous.post(
            "/v1/sites/depot/schedules", json=ask, headers={"X-Requested-With": "dashboard", "Origin": "http://test"}
        )
        foreign = await api.anonymous.post(
            "/v1/sites/depot/schedules", json=ask, headers={"X-Requested-With": "x", "Origin": "http://evil.example"}
        )

    wrong(bare, 403)
    assert own.status_code == 201
    wrong(foreign, 403)


async def test_a_session_ends_with_its_key() -> None:
    async with an_api() as api:
        await _log_in(api)
        for key in await api.keys.all():
            if key.name == "dashboard":
                await api.keys.revoke(key.key_id)

        wrong(await api.anonymous.get("/v1/sites"), 401)


async def test_closing_the_session_forgets_the_cookie() -> None:
    async with an_api() as api:
        await _log_in(api)

        await api.anonymous.delete("/session", headers={"X-Requested-With": "dashboard"})

        assert COOKIE not in api.anonymous.cookies
        wrong(await api.anonymous.get("/session"), 401)


async def test_no_session_is_opened_with_a_wrong_key_and_the_key_is_not_echoed() -> None:
    async with an_api() as api:
        response = await api.anonymous.post("/session", json={"key": "sc_nonsense"})
        refused = await api.anonymous.post("/session", json={"key": 12345678})

    wrong(response, 401)
    assert "12345678" not in refused.text


async def test_a_cookie_lasts_twelve_hours() -> None:
    clock = SteppedClock(NOW)
    sessions = Sessions(b"secret", clock)
    cookie = sessions.open("abc")

    await clock.run_until(NOW + timedelta(hours=11, minutes=59))
    assert sessions.key_id(cookie) == "abc"

    await clock.run_until(NOW + timedelta(hours=12))
    with pytest.raises(UnauthorizedError):
        sessions.key_id(cookie)


@pytest.mark.parametrize("forged", ["", "abc", "a.b.c", "admin.99999999999.00", "admin.9.", "é.9.é", "a.²." + "0" * 64])
def test_a_cookie_that_we_did_not_sign_opens_nothing(forged: str) -> None:
    with pytest.raises(UnauthorizedError):
        Sessions(b"secret", SteppedClock(NOW)).key_id(forged)


def test_a_cookie_signed_with_another_secret_opens_nothing() -> None:
    cookie = Sessions(b"other", SteppedClock(NOW)).open("abc")

    with pytest.raises(UnauthorizedError):
        Sessions(b"secret", SteppedClock(NOW)).key_id(cookie)
