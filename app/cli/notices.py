"""`smartcharge stations notices`: what is kept of a station, through the service that runs."""

import json
import sys
from typing import Any
from urllib.parse import quote

import httpx

from app.errors import InvalidInputError

PATIENCE_S = 30.0


def print_notices(
    url: str,
    key: str,
    station: str,
    *,
    limit: int,
    before: int | None = None,
    action: str | None = None,
    transport: Any = None,
) -> bool:
    """One line for each notice: number, time, action, payload. False, and the problem on standard error, for none."""
    query = {"limit": limit, "before": before, "action": action}
    with httpx.Client(base_url=url, timeout=PATIENCE_S, transport=transport) as client:
        try:
            answer = client.get(
                f"/v1/charging-stations/{quote(station, safe='')}/notices",
                params={name: value for name, value in query.items() if value is not None},
                headers={"Authorization": f"Bearer {key}"},
            )
        except httpx.TransportError as error:
            raise InvalidInputError("url", f"{url} does not answer: {error}") from error
    body = answer.json()
    if not answer.is_success:
        sys.stderr.write(f"{body.get('title')}: {body.get('detail')}\n")
        return False
    for notice in body:
        payload = json.dumps(notice["payload"], ensure_ascii=False)
        sys.stdout.write(f"{notice['number']}  {notice['at']}  {notice['action']}  {payload}\n")
    return True
