"""A small OpenADR 3 server (VTN): programmes, events, client credentials, pages."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import FastAPI, Header, HTTPException, Request

from app.server import listening

PATH = "/openadr3/3.1.0"
CLIENT, SECRET, BEARER = "smartcharge-1", "a-secret-of-the-client", "the-bearer-of-today"


class Vtn:
    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.url = ""
        self.app = FastAPI()
        self.app.post(f"{PATH}/auth/token")(self._token)
        self.app.get(f"{PATH}/programs")(self._programs)
        self.app.get(f"{PATH}/events")(self._events)

    async def _token(self, request: Request) -> dict[str, Any]:
        self.asked.append("token")
        form = dict(parse_qsl((await request.body()).decode()))
        if form != {"grant_type": "client_credentials", "client_id": CLIENT, "client_secret": SECRET}:
            raise HTTPException(401)
        return {"access_token": BEARER, "token_type": "Bearer", "expires_in": 3600}

    async def _programs(self, authorization: Annotated[str, Header()] = "") -> list[dict[str, Any]]:
        self._require(authorization)
        return [{"id": "44", "objectType": "PROGRAM", "programName": "depot"}]

    async def _events(
        self,
        skip: int = 0,
        limit: int = 50,
        programID: str | None = None,  # noqa: N803  # OpenADR's word
        authorization: Annotated[str, Header()] = "",
    ) -> list[dict[str, Any]]:
        self._require(authorization)
        self.asked.append(f"events {skip}")
        of_program = [event for event in self.events if programID in (None, event["programID"])]
        return of_program[skip : skip + limit]

    def _require(self, authorization: str) -> None:
        if authorization != f"Bearer {BEARER}":
            raise HTTPException(403)


_UNITS = {"GHG": "GHG", "IMPORT_CAPACITY_LIMIT": "KW"}


@asynccontextmanager
async def a_vtn() -> AsyncIterator[Vtn]:
    vtn = Vtn()
    async with listening(vtn.app, "127.0.0.1", 0, asyncio.Event()) as url:
        vtn.url = f"{url}{PATH}"
        yield vtn


def an_event(event_id: str, kind: str, *values: float, **changed: Any) -> dict[str, Any]:
    """One value an hour from `start` on, or as `changed` says."""
    descriptor = {"payloadType": kind, "units": _UNITS.get(kind, "KWH")}
    if kind.endswith("PRICE"):
        descriptor["currency"] = "EUR"
    return {
        "id": event_id,
        "objectType": "EVENT",
        "programID": "44",
        "createdDateTime": "2026-04-26T06:00:00Z",
        "payloadDescriptors": [descriptor],
        "intervalPeriod": {"start": "2026-04-26T08:00:00Z", "duration": "PT1H"},
        "intervals": [{"id": n, "payloads": [{"type": kind, "values": [value]}]} for n, value in enumerate(values)],
    } | changed
