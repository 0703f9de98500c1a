"""A notice as an e-mail."""

import asyncio
import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Literal

from app.csms.timestamps import iso_utc
from app.db.operating_records import Alarm, AlarmNotice

TIMEOUT_S = 20.0
KINDS = {
    "not_ready": "a car will not be ready",
    "disobedient": "a charging station disobeys",
    "mode": "degraded mode",
    "stale_source": "a source is stale",
    "actuator": "a battery or an inverter does not follow",
}


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where e-mails are handed over, and as whom. With `security` ``none`` no password is sent."""

    host: str
    port: int
    security: Literal["starttls", "tls", "none"]
    sender: str
    user: str | None = None
    password: str | None = None

    async def send(self, recipients: Sequence[str], notice: AlarmNotice, alarm: Alarm) -> None:
        """Hand one message over for all recipients, or raise `OSError` (`smtplib.SMTPException` is one)."""
        message = message_of(self.sender, recipients, notice, alarm)
        await asyncio.to_thread(self._hand_over, message)

    def _hand_over(self, message: EmailMessage) -> None:
        kind = smtplib.SMTP_SSL if self.security == "tls" else smtplib.SMTP
        with kind(self.host, self.port, timeout=TIMEOUT_S) as server:
            if self.security == "starttls":
                server.starttls(context=ssl.create_default_context())
            if self.user is not None and self.password is not None and self.security != "none":
                server.login(self.user, self.password)
            server.send_message(message)


def message_of(sender: str, recipients: Sequence[str], notice: AlarmNotice, alarm: Alarm) -> EmailMessage:
    """Its Message-ID is the same however often it is sent."""
    over = alarm.resolved_at if notice.occasion == "resolved" else None
    subject = f"{'Over' if over else 'Alarm'}: {alarm.site_id}: {KINDS[alarm.kind]} ({alarm.subject})"
    message = EmailMessage()
    message["From"], message["To"] = sender, ", ".join(recipients)
    message["Subject"] = " ".join(subject.split())  # no line of a header is ours to begin
    message["Message-ID"] = f"<{alarm.alarm_id}.{notice.occasion}@{sender.rpartition('@')[2]}>"
    lines = [alarm.detail, "", f"Site: {alarm.site_id}", f"Since: {iso_utc(alarm.raised_at)}"]
    message.set_content("\n".join(lines + ([f"Over since: {iso_utc(over)}"] if over else [])))
    return message
