"""The JSON schemas of the `ocpp` package, as the last check of what we send; the only module that imports it.

The package is our codec's conscience, not its loop: its ChargePoint waits out the whole time-out when a station
leaves, drops malformed frames unanswered and dies of some of them, and refuses the 36-character id tags, comma
decimals and vendor fields that stations in the field send.
"""

import asyncio
from collections.abc import Iterable

import ocpp.messages
from ocpp.exceptions import OCPPError
from ocpp.v16.enums import Action
from ocpp.v21.enums import Action as Action21
from ocpp.v201.enums import Action as Action201

from app.csms.frames import Json, Kind

V16_ACTIONS = frozenset(str(action.value) for action in Action)
V201_ACTIONS = frozenset(str(action.value) for action in Action201)
# The package has a schema for the last one, and no class: it is a SEND, which it does not know.
V21_ACTIONS = frozenset(str(action.value) for action in Action21) | {"NotifyPeriodicEventStream"}


class SchemaError(ValueError):
    """A message of ours that is not OCPP: a mistake of this service or of its caller's values.

    `field` is the path within the payload, e.g. ``csChargingProfiles.chargingSchedule.duration``; empty: all of it.
    """

    def __init__(self, text: str, field: str = "", message: str = "") -> None:
        self.field = field
        self.message = message or text
        super().__init__(text)


async def check_call(action: str, payload: Json, version: str = "1.6") -> None:
    """Raise `SchemaError` when `payload` is no valid request of `action`."""
    await _check(ocpp.messages.Call("", action, payload), version)


async def check_result(action: str, payload: Json, version: str = "1.6") -> None:
    """Raise `SchemaError` when `payload` is no valid answer to `action`."""
    await _check(ocpp.messages.CallResult("", payload, action), version)


async def load_schemas(actions: Iterable[str], version: str = "1.6") -> None:
    """Read the schemas from disk before the first call needs them: the package does so lazily, and blocks."""

    def load() -> None:
        for action in actions:
            # As `validate_payload` asks where a schema says multipleOf 0.1; the package's cache forgets which it was.
            parse_float = ocpp.messages.decimal.Decimal if action in _WITH_LIMITS else float
            ocpp.messages.get_validator(Kind.CALL, action, version, parse_float)

    await asyncio.to_thread(load)


_WITH_LIMITS = frozenset({"SetChargingProfile", "RemoteStartTransaction"})


async def _check(message: ocpp.messages.Call | ocpp.messages.CallResult, version: str) -> None:
    try:
        await ocpp.messages.validate_payload(message, version)
    except (OCPPError, TypeError, ValueError) as error:
        cause = getattr(error, "details", {}).get("cause", error)
        found = error.__cause__ or error.__context__  # what jsonschema said, which knows where
        path = "".join(
            f"[{step}]" if isinstance(step, int) else f".{step}" for step in getattr(found, "absolute_path", ())
        )
        said = str(getattr(found, "message", cause))[:300]
        raise SchemaError(f"{message.action}: {str(cause)[:300]}", path.removeprefix("."), said) from error
