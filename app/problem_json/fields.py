"""The kinds of value that may stand at a key: numbers with a unit and a range, moments, ids, absent limits.

The ranges are far beyond any site. They exist because solvers take 1e30 for a number and answer nonsense.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

MAX_SLOTS = 7 * 24 * 12 + 12  # a week of five-minute slots, with the longer DST day
MAX_ITEMS = 10_000  # circuits, EVSEs, sessions, ...: bounded, as everything that comes from outside

_EARLIEST, _LATEST = datetime(1971, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC)


class NotNull:
    """The key may be left out, but null is refused: it would have two meanings, unlimited and unknown."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_refuse_null, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        described = handler(schema)
        kinds = [kind for kind in described.get("anyOf", []) if kind.get("type") != "null"]
        if not kinds:
            return described
        return {"anyOf": kinds} if len(kinds) > 1 else kinds[0]


def _refuse_null(value: object) -> object:
    if value is None:
        raise PydanticCustomError("null_refused", "null is refused here: leave the key out instead")
    return value


def _text_only(value: object) -> object:
    if not isinstance(value, str | datetime):
        raise PydanticCustomError("datetime_text", "a moment is written as text, e.g. 2026-04-26T00:00:00+02:00")
    return value


def _to_utc(moment: datetime) -> datetime:
    try:
        utc = moment.astimezone(UTC)
    except OverflowError:
        utc = _LATEST
    if not _EARLIEST <= utc < _LATEST:
        raise PydanticCustomError("datetime_range", "lies outside the years 1971 to 2998")
    return utc


def _refuse_huge_int(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**15:
        raise PydanticCustomError("number_range", "is beyond every range")  # 10**400 has no float at all
    return value


def drop_null_defaults(schema: dict[str, Any]) -> None:
    """Leave out ``default: null``: where null is refused it is no value, only the absence of one."""
    for field in schema.get("properties", {}).values():
        if "default" in field and field["default"] is None:
            del field["default"]


class Edge(BaseModel):
    """Base of what comes in: unknown keys, text for numbers, NaN and infinity are errors with a path."""

    model_config = ConfigDict(
        extra="forbid", allow_inf_nan=False, strict=True, frozen=True, json_schema_extra=drop_null_defaults
    )


Moment = Annotated[
    AwareDatetime, Field(strict=False, json_schema_extra={"format": "date-time"}), AfterValidator(_to_utc),
    BeforeValidator(_text_only),
]  # fmt: skip
Id = Annotated[str, Field(min_length=1, max_length=255)]

# One number for every slot, or exactly one per slot. `ProblemIn` spreads the number before the fields see it.
SERIES_OR_NUMBER = WithJsonSchema(
    {"anyOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}, "maxItems": MAX_SLOTS}]}
)

_SANE = BeforeValidator(_refuse_huge_int)
Kilowatt = Annotated[float, Field(ge=0, le=1e6), _SANE]
KilowattHour = Annotated[float, Field(ge=0, le=1e7), _SANE]
Ampere = Annotated[float, Field(ge=0, le=1e5), _SANE]
PositiveAmpere = Annotated[float, Field(gt=0, le=1e5), _SANE]
Volt = Annotated[float, Field(gt=0, le=1e3), _SANE]
Price = Annotated[float, Field(ge=-1e6, le=1e6), _SANE]
CostRate = Annotated[float, Field(ge=0, le=1e6), _SANE]
CarbonIntensity = Annotated[float, Field(ge=-1e3, le=1e3), _SANE]
Share = Annotated[float, Field(ge=0, le=1), _SANE]
Efficiency = Annotated[float, Field(gt=0, le=1), _SANE]

SignedKilowatt = Annotated[float, Field(ge=-1e6, le=1e6), _SANE]

KilowattSeries = Annotated[list[Kilowatt], Field(max_length=MAX_SLOTS), SERIES_OR_NUMBER]
SignedKilowattSeries = Annotated[list[SignedKilowatt], Field(max_length=MAX_SLOTS), SERIES_OR_NUMBER]
PriceSeries = Annotated[list[Price], Field(max_length=MAX_SLOTS), SERIES_OR_NUMBER]
CarbonSeries = Annotated[list[CarbonIntensity], Field(max_length=MAX_SLOTS), SERIES_OR_NUMBER]


def path_of(location: Sequence[int | str]) -> str:
    """``("sessions", 2, "arrival")`` as ``sessions[2].arrival``."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
