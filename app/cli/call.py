"""`smartcharge stations call`: one OCPP command through the service that runs."""

import json
import sys
from typing import Any
from urllib.parse import quote

import httpx

from app.errors import InvalidInputError

PATIENCE_S = 330.0  # the API's own time-outs end before


def call_station(
    url: str, key: str, station: str, action: str, payload: str, *, validate: bool = True, transport: Any = None
) -> bool:
    """Print the station's reply, or the problem on standard error; whether there was a reply.

    Raises `InvalidInputError` for a payload that is no JSON object.
    """
    try:
        content = json.loads(payload)
    except ValueError as error:
        raise InvalidInputError("payload", f"{payload!r} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise InvalidInputError("payload", f"{payload!r} is no JSON object")
    with httpx.Client(base_url=url, timeout=PATIENCE_S, transport=transport) as client:
        try:
            answer = client.post(
                f"/v1/charging-stations/{quote(station, safe='')}/commands/{quote(action, safe='')}",
                json=content,
                params={} if validate else {"validate": "false"},
                headers={"Authorization": f"Bearer {key}"},
            )
        except httpx.TransportError as error:
            raise InvalidInputError("url", f"{url} does not answer: {error}") from error
    body = answer.json()
    if answer.is_success:
        sys.stdout.write(json.dumps(body, indent=2, ensure_ascii=False) + "\n")
        return True
    sys.stderr.write(f"{body.get('title')}: {body.get('detail')}\n")
    return False
