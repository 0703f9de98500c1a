"""A notice as a signed POST; the signature is that of docs/csms.md."""

import json
from datetime import datetime

import httpx

from app.alarms.settings import AlarmTarget
from app.csms.remote.signatures import sign
from app.csms.timestamps import iso_utc
from app.db.operating_records import Alarm, AlarmNotice
from app.db.records import Json

TIMEOUT_S = 10.0


def body_of(notice: AlarmNotice, alarm: Alarm) -> Json:
    """`id` is the same however often a notice is sent."""
    return {
        "id": f"{alarm.alarm_id}-{notice.occasion}",
        "event": f"alarm.{notice.occasion}",
        "site_id": alarm.site_id,
        "kind": alarm.kind,
        "subject": alarm.subject,
        "detail": alarm.detail,
        "raised_at": iso_utc(alarm.raised_at),
        "resolved_at": None if alarm.resolved_at is None else iso_utc(alarm.resolved_at),
    }


async def post(target: AlarmTarget, notice: AlarmNotice, alarm: Alarm, now: datetime) -> None:
    """Deliver it, or raise `ConnectionError` for anything but an answer of 2xx. Follows no redirect."""
    if target.webhook_url is None or target.webhook_secret is None:
        raise ConnectionError(f"alarm target {target.name!r} has no webhook_url any more")
    body = json.dumps(body_of(notice, alarm), ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json"} | sign(target.webhook_secret.get_secret_value().encode(), body, now)
    async with httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as http:
        try:
            answer = await http.post(target.webhook_url, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise ConnectionError(f"{type(error).__name__}: {error}") from error
    if not answer.is_success:
        raise ConnectionError(f"the receiver answered with HTTP {answer.status_code}")
