"""A CSMS of someone else's on a real socket, with one station behind it; and our API, on which it calls back.

`OtherCsms.station` is a script: what the station answers, by action, and what it was asked. `answers` are as in
`tests.app.csms.stations`: a payload, a function of the request, a list (a call error), or None for silence.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import httpx
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from app.api import csms_events, problems
from app.clock import SystemClock
from app.csms.connector import OcppVersion
from app.csms.remote.remotes import Remotes
from app.csms.remote.settings import RemoteCsms
from app.csms.remote.signatures import sign, verify
from app.db.store import Store
from app.events import Events
from app.server import listening
from app.settings import Settings
from tests.app.csms.stations import STATION, Json

SECRET = "a secret of more than thirty-two characters"
TOKEN = "what OIDC gave us"
# The modules of CitrineOS that send what these tests ask for.
MODULES = {
    "smartcharging": ("setChargingProfile", "clearChargingProfile", "getCompositeSchedule"),
    "configuration": ("changeAvailability", "changeConfiguration", "getConfiguration", "triggerMessage"),
    "evdriver": (
        "remoteStartTransaction",
        "remoteStopTransaction",
        "requestStartTransaction",
        "requestStopTransaction",
    ),
    "monitoring": ("getVariables", "setVariables"),
    "reporting": ("getBaseReport",),
}


@dataclass
class Script:
    """The station behind the other CSMS. It answers one call at a time; `most_at_once` says whether it was asked so."""

    answers: dict[str, Any] = field(default_factory=lambda: {"TriggerMessage": {"status": "Accepted"}})
    asked: list[tuple[str, Json]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def answer(self, action: str, payload: Json) -> Any:
        self.asked.append((action, payload))
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        await asyncio.sleep(0.002)
        self.at_once -= 1
        answer = self.answers.get(action, [4, "NotImplemented", "", {}])
        return answer(payload) if callable(answer) else answer


class OtherCsms:
    """`kind` citrineos, webhook, or webhook-later: it replies to commands by an event."""

    def __init__(self, kind: str, version: OcppVersion) -> None:
        self.kind = kind
        self.version = version
        self.station = Script()
        self.is_there = True  # whether its station is connected to it
        self.silent_status: int | None = None  # an HTTP status to answer every command with
        self.raw_reply: Any = ...  # webhook: what it replies to every command
        self.redirect_to: str | None = None  # webhook: where it would send us
        self.commands: list[Json] = []  # webhook: the bodies; citrineos: the queries
        self.active: dict[tuple[Any, ...], int] = {}  # citrineos, 2.0.1: its own account of profiles
        self.batches = 1  # citrineos: into how many calls it splits a GetConfiguration
        self.url = ""
        self.last_reply: tuple[str, str] = ("", "")  # where an answer to the last command belongs
        self._http = httpx.AsyncClient(trust_env=False)
        self._tasks: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await self._http.aclose()

    # --- commands in

    def routes(self, app: FastAPI) -> None:
        app.add_api_route("/theirs/ocpp/{version}/{module}/{action}", self._citrineos, methods=["POST"])
        app.add_api_route("/theirs/commands", self._webhook, methods=["POST"])

    async def _citrineos(self, version: str, module: str, action: str, request: Request) -> Response:
        payload, query = await request.json(), dict(request.query_params)
        self.commands.append(query)
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        assert action in MODULES.get(module, ()), f"{module} sends no {action}"
        assert (version, query["tenantId"], query["identifier"]) == (self.version, "1", STATION)
        if self.silent_status is not None:
            return Response(status_code=self.silent_status)
        if not self.is_there:
            return JSONResponse([{"success": False, "payload": f"No connection found for identifier: {STATION}"}])
        if version != "1.6" and (refusal := self._account_for(action, payload)):
            return JSONResponse([{"success": False, "payload": refusal}])
        self.last_reply = ("callback", query["callbackUrl"])
        for part in self._parts(payload):
            self._run(self._ask_station(action[0].upper() + action[1:], part, self.last_reply))
        return JSONResponse([{"success": True}] * len(self._parts(payload)))

    def _parts(self, payload: Json) -> list[Json]:
        keys = payload.get("key", [])
        size = max(1, -(-len(keys) // self.batches))
        return [{"key": keys[first : first + size]} for first in range(0, len(keys), size)] or [payload]

    def _account_for(self, action: str, payload: Json) -> str | None:
        """Its stricter reading of 2.0.1."""
        if action == "clearChargingProfile":
            cleared = payload.get("chargingProfileId")
            self.active = {key: one for key, one in self.active.items() if one != cleared}
        if action != "setChargingProfile":
            return None
        profile = payload["chargingProfile"]
        if datetime.fromisoformat(profile.get("validFrom", "2000-01-01T00:00:00Z")) > datetime.now(UTC):
            return "validFrom must not be in the future"
        key = (
            payload["evseId"],
            profile["chargingProfilePurpose"],
            profile["stackLevel"],
            profile.get("transactionId"),
        )
        if key in self.active:
            return "a charging profile with the same stack level is active"
        self.active[key] = profile["id"]
        return None

    async def _webhook(self, request: Request) -> Response:
        body = await request.body()
        timestamp = request.headers["x-smartcharge-timestamp"]
        verify(SECRET.encode(), body, timestamp, request.headers["x-smartcharge-signature"], datetime.now(UTC))
        command = json.loads(body)
        self.commands.append(command)
        assert (command["station_id"], command["ocpp_version"]) == (STATION, self.version)
        if (instead := self._instead()) is not None:
            return instead
        self.last_reply = ("reply", command["command_id"])
        if self.kind == "webhook-later":
            self._run(self._ask_station(command["action"], command["payload"], self.last_reply))
            return Response(status_code=202)
        answer = await self.station.answer(command["action"], command["payload"])
        if answer is None:
            while not await request.is_disconnected():  # noqa: ASYNC110  # there is no event for it
                await asyncio.sleep(0.02)
            return Response(status_code=204)
        return JSONResponse(_as_reply(answer))

    def _instead(self) -> Response | None:
        """What it answers without asking the station."""
        if self.silent_status is not None:
            return Response(status_code=self.silent_status)
        if self.redirect_to is not None:
            return Response(status_code=307, headers={"Location": self.redirect_to})
        if not self.is_there:
            return Response(status_code=409)
        return None if self.raw_reply is ... else JSONResponse(self.raw_reply)

    async def _ask_station(self, action: str, payload: Json, reply: tuple[str, str]) -> None:
        answer = await self.station.answer(action, payload)
        if answer is not None:
            await self.answer(answer, reply)

    # --- what it tells

    async def answer(self, answer: Any, reply: tuple[str, str] | None = None) -> None:
        """Deliver the station's answer to the last command, or to `reply`, as this CSMS does."""
        way, where = reply or self.last_reply
        if way == "reply":
            await self.tell({"type": "reply", "command_id": where} | _as_reply(answer))
        elif isinstance(answer, dict):  # CitrineOS delivers no call errors
            await self._http.post(where, json=answer)

    async def tell(self, event: Json, **changes: Any) -> httpx.Response:
        """A signed event."""
        whole = {
            "event_id": str(uuid.uuid4()),
            "station_id": STATION,
            "at": datetime.now(UTC).isoformat(),
        } | event
        return await self.post_signed(whole, **changes)

    async def post_signed(self, document: Any, *, secret: str = SECRET, at: datetime | None = None) -> httpx.Response:
        body = json.dumps(document).encode()
        headers = sign(secret.encode(), body, at or datetime.now(UTC)) | {"Content-Type": "application/json"}
        return await self._http.post(f"{self.url}/csms/other/events", content=body, headers=headers)

    async def post_unsigned(self, document: Any) -> httpx.Response:
        return await self._http.post(f"{self.url}/csms/other/events", json=document)

    async def subscription(self, event: Json, *, secret: str = SECRET) -> httpx.Response:
        return await self._http.post(
            f"{self.url}/csms/other/subscriptions/{secret}", json={"stationId": STATION} | event
        )

    async def station_says(self, action: str, payload: Json, answer: Json | None = None) -> httpx.Response:
        """The station's call and what this CSMS answered, told in this CSMS's way."""
        if self.kind != "citrineos":
            return await self.tell({"type": "message", "action": action, "payload": payload, "answer": answer})
        message_id = str(uuid.uuid4())
        call = json.dumps([2, message_id, action, payload])
        told = await self.subscription({"event": "message", "origin": "cs", "message": call})
        if answer is not None:
            result = json.dumps([3, message_id, answer])
            told = await self.subscription({"event": "message", "origin": "csms", "message": result})
        return told

    async def says_station_is(self, *, there: bool) -> httpx.Response:
        self.is_there = there
        if self.kind == "citrineos":
            return await self.subscription({"event": "connected" if there else "closed"})
        return await self.tell({"type": "connected" if there else "disconnected"})

    def _run(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _as_reply(answer: Any) -> Json:
    if isinstance(answer, list):
        return {"error": {"code": answer[1], "description": answer[2]}}
    return {"result": answer}


@asynccontextmanager
async def behind_another(
    store: Store, kind: str, version: OcppVersion, *, events: Events | None = None, timeout_s: float = 5.0
) -> AsyncIterator[tuple[OtherCsms, Remotes]]:
    """Another CSMS and ours on one loopback server, each on its own paths; `cs01` is behind the other one."""
    app, other = FastAPI(), OtherCsms(kind, version)
    problems.install(app)
    app.include_router(csms_events.router)
    other.routes(app)
    clock = SystemClock()
    async with listening(app, "127.0.0.1", 0, asyncio.Event()) as url:
        other.url = url
        csms = RemoteCsms.model_validate(
            {
                "name": "other",
                "kind": kind.partition("-")[0],
                "url": f"{url}/theirs" if kind == "citrineos" else f"{url}/theirs/commands",
                "stations": {STATION: version},
                "secret": SECRET,
                "callback_url": url,
                "bearer_token": TOKEN,
                "timeout_s": timeout_s,
            }
        )
        remotes = Remotes(store, events or Events(), clock, Settings(remote_csms=(csms,)))
        app.state.services = SimpleNamespace(remotes=remotes)
        try:
            async with remotes:
                yield other, remotes
        finally:
            await other.close()
