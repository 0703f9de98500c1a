"""`/v1/charging-stations/{id}/commands`: whatever OCPP lets a CSMS say, said by an operator in its own words."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from app.api.auth import Reader, Writer
from app.api.json_body import EachKeyOnceRoute
from app.api.problems import MEDIA_TYPE, ProblemOut
from app.api.services import ServicesDep
from app.csms.commands import SENT, scope_of
from app.csms.connector import OcppVersion
from app.errors import PROBLEMS, CallFailedError
from app.field_errors import TEXT_LENGTH, shortened

router = APIRouter(prefix="/v1/charging-stations", tags=["charging stations"], route_class=EachKeyOnceRoute)

VERSION_HEADER = "X-OCPP-Version"
IN_DOUBT_HEADER = "X-EVSEs-In-Doubt"
MAX_TIMEOUT_S = 300.0  # a client that waits longer has gone

_LISTS = "\n".join(f"* **{version}**: {', '.join(sorted(SENT[version]))}" for version in SENT)
_DESCRIPTION = f"""\
Send one OCPP call with the body as its payload, and answer with the payload of the station's reply.

The body is the plain payload as the station's own version writes it (`{VERSION_HEADER}` in the answer says which).
It is checked against that version's schema first: 422 names the field. `?validate=false` sends it unchecked.

An error of the station is 502 with OCPP's `code` and `description`; no answer in time is 504, and then nobody knows
what it did; a station that is not connected is 409, one with too many calls waiting 503.

Everyday actions need the scope write; profiles, configuration, firmware, certificates, networks, tariffs, vendors'
own messages and everything unchecked need admin. Each command is recorded with the key that sent it.

Whatever may change limits (SetChargingProfile, ClearChargingProfile, a start with a profile, UpdateDynamicSchedule,
UsePriorityCharging, settings of smart charging) puts the station's EVSEs in doubt, named by `{IN_DOUBT_HEADER}`:
each is reserved with all that its hardware can draw, and at an optimised site within half a minute everything set by
hand is cleared and fallback and plan are sent anew. To charge by profiles of your own, set the site's `mode`.

An accepted ReserveNow is an expected session of the plan, until it is cancelled, used or over.

Actions:

{_LISTS}
"""


class StationErrorOut(ProblemOut):
    """The station answered with a CALLERROR."""

    code: str = Field(description="as the station spelled it", examples=["NotSupported"])
    description: str = Field(description="its own words; may be empty")


class CommandOut(BaseModel):
    action: str
    scope: str = Field(description="what a key needs to send it: write or admin; admin for any that sets a profile")


class CommandsOut(BaseModel):
    charging_station_id: str
    ocpp_version: OcppVersion = Field(description="which the station speaks now")
    commands: list[CommandOut]


_HEADERS = {
    VERSION_HEADER: {"schema": {"type": "string"}, "description": "1.6, 2.0.1 or 2.1"},
    IN_DOUBT_HEADER: {"schema": {"type": "string"}, "description": "EVSEs whose limits are unknown now, by comma"},
}
_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemOut"}}}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The payload of the station's reply", "headers": _HEADERS},
    409: {"description": "The station is not connected, or a newer profile took the place of this one"},
    502: {"model": StationErrorOut, "description": "The station answered with an error"},
    503: {"description": "Too many calls wait for the station", "content": _PROBLEM},
    504: {"description": "No answer in time: nobody knows what the station did", "content": _PROBLEM},
}
_RESPONSES[409]["content"] = _PROBLEM

_EXAMPLES: dict[str, Any] = {
    "TriggerMessage": {"value": {"requestedMessage": "StatusNotification"}},
}


@router.get("/{charging_station_id}/commands")
async def list_commands(charging_station_id: str, services: ServicesDep, _: Reader) -> CommandsOut:
    """What the station's present version of OCPP lets an operator send. 409 while it is not connected."""
    await services.store.station(charging_station_id)
    version = services.commands.version(charging_station_id)
    return CommandsOut(
        charging_station_id=charging_station_id,
        ocpp_version=version,
        commands=[CommandOut(action=action, scope=scope_of(action, {})) for action in sorted(SENT[version])],
    )


@router.post("/{charging_station_id}/commands/{action}", description=_DESCRIPTION, responses=_RESPONSES)
async def send_command(
    charging_station_id: str,
    action: Annotated[str, Path(pattern="^[A-Za-z][A-Za-z0-9]{0,49}$", description="as OCPP spells it")],
    payload: Annotated[dict[str, Any], Body(openapi_examples=_EXAMPLES)],
    services: ServicesDep,
    key: Writer,
    validate: Annotated[bool, Query(description="false: send it whatever the schema says; admin only")] = True,
    timeout_s: Annotated[
        float | None, Query(gt=0, le=MAX_TIMEOUT_S, description="in place of the service's own")
    ] = None,
) -> Response:
    try:
        reply = await services.commands.call(
            key, charging_station_id, action, payload, validate=validate, timeout_s=timeout_s
        )
    except CallFailedError as error:
        return _station_error(error)
    headers: dict[str, str] = {VERSION_HEADER: reply.version}
    if reply.in_doubt:
        headers[IN_DOUBT_HEADER] = ",".join(reply.in_doubt)
    return JSONResponse(reply.payload, HTTPStatus.OK, headers=headers)


def _station_error(error: CallFailedError) -> Response:
    """The problem of `app.errors.PROBLEMS`, with OCPP's own words beside it."""
    status, kind = PROBLEMS[CallFailedError]
    body = StationErrorOut(
        type=f"urn:smartcharge:{kind}",
        title=kind.replace("-", " ").capitalize(),
        status=status,
        detail=shortened(str(error), TEXT_LENGTH),
        code=error.code,
        description=error.description,
    )
    return JSONResponse(body.model_dump(exclude_unset=True), status, media_type=MEDIA_TYPE)
