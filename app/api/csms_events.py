"""`/csms/{name}/…`: where other CSMSs tell of their stations. No API key: events are signed, addresses unguessable.

Which CSMSs there are, and where, is in the settings alone; docs/csms.md is the contract.
"""

from http import HTTPStatus
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Body, Depends, Header, Path, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, model_validator
from starlette.responses import Response

from app.api.services import Services, ServicesDep
from app.csms.remote.remotes import Remotes
from app.csms.remote.settings import NAME
from app.csms.remote.webhook_events import Taken, WebhookEvent, WebhookEvents
from app.errors import NotFoundError

router = APIRouter(prefix="/csms", tags=["other CSMSs"])

NameDep = Annotated[str, Path(pattern=f"^{NAME}$", description="as in SMARTCHARGE_REMOTE_CSMS")]

EXAMPLE: dict[str, JsonValue] = {
    "event_id": "8a0c1f0e-6e0f-4b0e-9f3e-0d7c2f6d6c11",
    "type": "message",
    "station_id": "cs01",
    "at": "2026-06-01T12:00:03Z",
    "action": "StartTransaction",
    "payload": {"connectorId": 1, "idTag": "VAN-7", "meterStart": 81250, "timestamp": "2026-06-01T12:00:00Z"},
    "answer": {"transactionId": 4711, "idTagInfo": {"status": "Accepted"}},
}


class ReplyError(BaseModel):
    """The station's CALLERROR."""

    code: str = Field(min_length=1, max_length=50)
    description: str = Field(default="", max_length=255)


class CsmsEventIn(BaseModel):
    """One event of one station."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    event_id: str = Field(min_length=8, max_length=64, description="unique; the same again changes nothing")
    type: Literal["connected", "disconnected", "message", "reply"]
    station_id: str = Field(min_length=1, max_length=48)
    at: AwareDatetime = Field(description="when it happened, by the CSMS's clock")
    action: str = Field(default="", max_length=50, description="message: of the station's OCPP call")
    payload: dict[str, Any] | None = Field(default=None, description="message: of the station's OCPP call")
    answer: dict[str, Any] | None = Field(default=None, description="message: what the CSMS answered")
    command_id: str = Field(default="", max_length=64, description="reply: as in the command")
    result: dict[str, Any] | None = Field(default=None, description="reply: the payload of the CALLRESULT")
    error: ReplyError | None = Field(default=None, description="reply: the CALLERROR")
    offline: bool = Field(default=False, description="reply: the command was not sent, the station is gone")

    @model_validator(mode="after")
    def _has_what_its_type_needs(self) -> Self:
        if self.type == "message" and (not self.action or self.payload is None):
            raise ValueError("a message needs its action and its payload")
        said = [self.result is not None, self.error is not None, self.offline]
        if self.type == "reply" and (not self.command_id or sum(said) != 1):
            raise ValueError("a reply needs its command_id, and one of result, error and offline")
        return self

    def event(self) -> WebhookEvent:
        reply: dict[str, Any] = {"offline": True} if self.offline else {"result": self.result}
        if self.error is not None:
            reply = {"error": self.error.model_dump()}
        return WebhookEvent(
            event_id=self.event_id,
            kind=self.type,
            station_id=self.station_id,
            at=self.at,
            action=self.action,
            payload=self.payload,
            answer=self.answer,
            command_id=self.command_id,
            reply=reply,
        )


class CsmsEventOut(BaseModel):
    outcome: Taken = Field(description="repeated: it was known; late: a reply for which nobody waits any more")


class SubscriptionEventIn(BaseModel):
    """As CitrineOS posts it; what else it says is passed over."""

    station_id: str = Field(alias="stationId", min_length=1, max_length=48)
    event: str = Field(max_length=40)
    origin: str | None = Field(default=None, max_length=40)
    message: str | None = Field(default=None, max_length=1_000_000)


async def signed(
    name: NameDep,
    request: Request,
    services: ServicesDep,
    x_smartcharge_timestamp: Annotated[str | None, Header(description="seconds since 1970")] = None,
    x_smartcharge_signature: Annotated[str | None, Header(description="v1=<hex of HMAC-SHA256>")] = None,
) -> WebhookEvents:
    """The events of the CSMS that signed the body, or `UnauthorizedError`."""
    events = remotes_of(services).webhook(name)
    events.verify(await request.body(), x_smartcharge_timestamp, x_smartcharge_signature)
    return events


@router.post("/{name}/events")
async def receive_event(told: CsmsEventIn, events: Annotated[WebhookEvents, Depends(signed)]) -> CsmsEventOut:
    """Take what another CSMS tells of a station. The body is signed with the secret that both sides hold."""
    return CsmsEventOut(outcome=await events.receive(told.event()))


@router.post("/{name}/callbacks/{token}", status_code=HTTPStatus.NO_CONTENT)
async def receive_callback(
    name: NameDep,
    token: Annotated[str, Path(min_length=1, max_length=100)],
    body: Annotated[Any, Body()],
    services: ServicesDep,
) -> Response:
    """Take a station's answer to a call that CitrineOS sent for us. The address is good for one call."""
    if not remotes_of(services).settle_callback(name, token, body):
        raise NotFoundError("callback", "of this address")
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.post("/{name}/subscriptions/{secret}", status_code=HTTPStatus.NO_CONTENT)
async def receive_subscription(
    name: NameDep,
    secret: Annotated[str, Path(min_length=1, max_length=200)],
    told: SubscriptionEventIn,
    services: ServicesDep,
) -> Response:
    """Take what a subscription of CitrineOS tells: that a station came or went, and each OCPP frame."""
    events = remotes_of(services).citrineos_events(name, secret)
    await events.receive(told.station_id, told.event, told.origin, told.message)
    return Response(status_code=HTTPStatus.NO_CONTENT)


def remotes_of(services: Services) -> Remotes:
    if services.remotes is None:
        raise NotFoundError("CSMS", "other than our own")
    return services.remotes
