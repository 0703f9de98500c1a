"""What a service writes into its log while it lives through a day, at the level that says most."""

import base64
from pathlib import Path

from tests.faults.depot import Depot, a_depot
from tests.faults.serving import Command

WRONG_KEY = "sc_0123456789ab_" + "x" * 43
WRONG_PASSWORD = "guessed-by-somebody"


async def a_day_with_logins(depot: Depot) -> list[str]:
    """What was said in confidence."""
    key = depot.client.headers["Authorization"].removeprefix("Bearer ")
    passwords = [str(station.spec.password) for station in depot.stations.values()]
    await depot.arrive("cs01")
    await depot.planned("cs01")
    await depot.client.get("/v1/sites", headers={"Authorization": f"Bearer {WRONG_KEY}"})
    await depot.client.get("/v1/sites", headers={"X-Api-Key": key})
    await depot.client.post("/session", json={"key": key})
    await depot.client.put("/v1/charging-stations/cs02/password", json={"password": WRONG_PASSWORD})
    for command in ("GetConfiguration", "TriggerMessage"):
        payload = {"key": ["AuthorizationKey"]} if command == "GetConfiguration" else {"requestedMessage": "Heartbeat"}
        body = {"action": command, "payload": payload}
        await depot.client.post("/v1/charging-stations/cs01/commands", json=body)
    await depot.stations["cs01"].unplug(1)
    await depot.settled_cdr("cs01")
    cookies = [cookie.value for cookie in depot.client.cookies.jar if cookie.value]
    basic = [base64.b64encode(f"cs01:{password}".encode()).decode() for password in passwords]
    return [key, WRONG_KEY, WRONG_PASSWORD, *passwords, *basic, *cookies]


async def test_no_log_of_a_whole_day_holds_a_secret(tmp_path: Path) -> None:
    async with a_depot(tmp_path, SMARTCHARGE_LOG_LEVEL="DEBUG") as depot:
        secrets = await a_day_with_logins(depot)
        secrets.append((tmp_path / "session.secret").read_text("utf-8"))

    log = (tmp_path / "serve.log").read_text("utf-8")
    assert "ocpp.transaction_started" in log
    assert len(secrets) >= 8
    assert [secret for secret in secrets if secret in log] == []


async def test_a_databases_password_is_in_no_log(tmp_path: Path) -> None:
    url = "postgresql://smartcharge:the-password-of-it@127.0.0.1:1/none"
    command = Command("serve", log=tmp_path / "log", SMARTCHARGE_DATABASE_URL=url, SMARTCHARGE_DATA_DIR=str(tmp_path))

    status = await command.ended()

    assert status == 1
    assert "database" in (tmp_path / "log").read_text("utf-8")
    assert "the-password-of-it" not in (tmp_path / "log").read_text("utf-8")
