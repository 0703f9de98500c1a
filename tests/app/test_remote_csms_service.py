"""The whole service with a station behind another CSMS: planned for, sent to and heard like any other."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI, Request
from pydantic import SecretStr

from app.clock import SystemClock
from app.csms.remote.settings import RemoteCsms
from app.csms.remote.signatures import sign
from app.main import open_store, service
from app.server import listening
from app.settings import Settings
from tests.app.csms.stations import Json, a_site, eventually

SECRET = "0123456789abcdef0123456789abcdef"


async def test_a_station_behind_another_csms_is_prepared_and_heard(tmp_path: Path) -> None:
    theirs, asked = FastAPI(), list[Json]()
    configuration = {"configurationKey": [{"key": "ChargingScheduleMaxPeriods", "readonly": True, "value": "7"}]}
    answers: dict[str, Any] = {
        "GetConfiguration": configuration,
        "SetChargingProfile": {"status": "Accepted"},
        "TriggerMessage": {"status": "Accepted"},
    }

    @theirs.post("/commands")
    async def command(request: Request) -> Json:
        asked.append(json.loads(await request.body()))
        answer = answers.get(asked[-1]["action"])
        return {"result": answer} if answer else {"error": {"code": "NotSupported", "description": ""}}

    async with listening(theirs, "127.0.0.1", 0, asyncio.Event()) as url:
        remote = RemoteCsms(
            name="other", kind="webhook", url=f"{url}/commands", stations={"cs02": "1.6"}, secret=SecretStr(SECRET)
        )
        settings = Settings(http_port=0, ocpp_port=0, data_dir=tmp_path, remote_csms=(remote,))
        await _with_site(settings)
        async with service(settings) as running, httpx.AsyncClient() as http:
            await eventually(lambda: any(one["action"] == "SetChargingProfile" for one in asked))
            key = await running.create_key("test")
            now = SystemClock().now()
            event = {
                "event_id": "event-0001",
                "type": "message",
                "station_id": "cs02",
                "at": now.isoformat(),
                "action": "StatusNotification",
                "payload": {"connectorId": 1, "status": "Charging", "errorCode": "NoError"},
            }
            body = json.dumps(event).encode()
            headers = sign(SECRET.encode(), body, now) | {"Content-Type": "application/json"}
            told = await http.post(f"{running.http_url}/csms/other/events", content=body, headers=headers)
            listed = await http.get(
                f"{running.http_url}/v1/charging-stations", headers={"Authorization": f"Bearer {key}"}
            )

            assert told.json() == {"outcome": "taken"}
            by_id = {station["id"]: station for station in listed.json()}
            assert by_id["cs02"]["connected"]
            assert not by_id["cs01"]["connected"]


async def _with_site(settings: Settings) -> None:
    async with open_store(settings) as store:
        await store.save_site(a_site("cs01", "cs02"))
