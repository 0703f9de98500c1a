"""Errors as RFC 9457 `application/problem+json`. The table of statuses is `app.errors.PROBLEMS`.

What was refused is named by path and value. Values are made safe first: JSON knows no NaN, and a password that was
refused must not come back.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.errors import PROBLEMS

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
_VALUE_LENGTH = 200  # of a quoted value, in characters
_TEXT_LENGTH = 600  # of a text that quotes what was sent
_ERRORS = 20  # named in one problem; `detail` counts the rest
_SECRETS = frozenset({"password", "key", "token", "secret"})
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\[[^\]]+\]|\.[A-Za-z_][A-Za-z0-9_]*)*")
_TARIFF_KINDS = ("fixed", "time_of_use", "series")
_PLACES = frozenset({"body", "query", "path", "header", "cookie"})
_KINDS = {
    HTTPStatus.BAD_REQUEST: "malformed",
    HTTPStatus.UNAUTHORIZED: "unauthorized",
    HTTPStatus.FORBIDDEN: "forbidden",
    HTTPStatus.NOT_FOUND: "not-found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method-not-allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too-large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported-media-type",
}


class FieldError(BaseModel):
    """One thing that is wrong with the input."""

    field: str = Field(description="path, e.g. charging_stations[0].evses[1].circuit; empty: the whole body")
    message: str
    value: Any = Field(default=None, description="what was sent, shortened; NaN and infinities as text")


class ProblemOut(BaseModel):
    """RFC 9457."""

    type: str = Field(examples=["urn:smartcharge:invalid-input"])
    title: str
    status: int
    detail: str
    errors: list[FieldError] = []


def problem(
    status: int,
    kind: str,
    detail: str,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """One problem as a response; `kind` becomes ``urn:smartcharge:<kind>``."""
    body = ProblemOut(
        type=f"urn:smartcharge:{kind}",
        title=kind.replace("-", " ").capitalize(),
        status=status,
        detail=_shortened(detail, _TEXT_LENGTH),
        errors=list(errors)[:_ERRORS],
    )
    return JSONResponse(
        body.model_dump(exclude_defaults=True), status, media_type=MEDIA_TYPE, headers=dict(headers or {})
    )


def of_exception(error: Exception) -> Response:
    """The problem of an error from `PROBLEMS`, of the nearest class in its tree."""
    status, kind = next(PROBLEMS[parent] for parent in type(error).__mro__ if parent in PROBLEMS)
    field, message = getattr(error, "field", None), getattr(error, "message", None)
    errors = []
    if isinstance(field, str) and isinstance(message, str):
        errors = [FieldError(field=field, message=_shortened(message, _TEXT_LENGTH))]
    headers = {"WWW-Authenticate": 'Bearer realm="smartcharge"'} if status == HTTPStatus.UNAUTHORIZED else None
    return problem(status, kind, str(error), errors, headers)


def of_validation(error: RequestValidationError) -> Response:
    """422, or 400 where the body is no JSON at all."""
    errors = field_errors(error.errors())
    if any(item["type"] == "json_invalid" for item in error.errors()):
        return problem(HTTPStatus.BAD_REQUEST, "malformed", "the body is not JSON", errors)
    first = errors[0]
    detail = f"{first.field}: {first.message}" if first.field else first.message
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-input", detail + more, errors)


def too_large_text(limit: int) -> str:
    return f"the body is larger than {limit} bytes"


def too_large(limit: int) -> Response:
    return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", too_large_text(limit))


def install(app: FastAPI) -> None:
    """Every error of `app` leaves it as a problem."""

    async def known(_: Request, error: Exception) -> Response:
        return of_exception(error)

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - what it is installed for
        return of_validation(error)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - what it is installed for
        status = HTTPStatus(error.status_code)
        detail = str(error.detail)
        if detail == status.phrase:  # the framework's own, for a path or a method that no route knows
            detail = f"{detail}: {request.method} {request.url.path[:_VALUE_LENGTH]}"
        return problem(status, _KINDS.get(status, "http"), detail, headers=error.headers)

    async def unexpected(_: Request, error: Exception) -> Response:
        log.error("request failed", error=repr(error), exc_info=error)
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "something went wrong; the log says what")

    for kind in PROBLEMS:
        app.add_exception_handler(kind, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, unexpected)


def path_of(location: Sequence[int | str]) -> str:
    """``("body", "sessions", 2, "arrival")`` as ``sessions[2].arrival``."""
    parts = location[1:] if location and location[0] in _PLACES else location
    text = ""
    for part in parts:
        if part in _TARIFF_KINDS and text == "tariff":
            continue  # pydantic names the kind it tried; it is no key of the document
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def field_errors(items: Iterable[Mapping[str, Any]]) -> list[FieldError]:
    """pydantic's errors, each with its path and its value made safe."""
    return [_field_error(item) for item in items]


def _field_error(item: Mapping[str, Any]) -> FieldError:
    field, value = path_of(item["loc"]), item.get("input")
    message = _shortened(str(item["msg"]).removeprefix("Value error, "), _TEXT_LENGTH)
    if item["type"] == "json_invalid":
        where = f" at character {item['loc'][-1]}" if item["loc"] else ""
        return FieldError(field="", message=f"{item.get('ctx', {}).get('error', message)}{where}")
    if item["type"] == "missing":
        return FieldError(field=field, message="is missing")
    if item["type"] == "extra_forbidden":
        message = "is not a known key"
    if item["type"] == "value_error" and isinstance(value, Mapping):
        # A rule about several fields begins its text with the path of the one that is wrong.
        named = _PATH.match(message)
        if named and re.split(r"[.\[]", named[0], maxsplit=1)[0] in value:
            field, value = ".".join(filter(None, (field, named[0]))), _value_at(value, named[0])
            message = message.removeprefix(named[0]).lstrip(": ")
    if _SECRETS & set(re.split(r"[.\[\]]+", field)):
        return FieldError(field=field, message=message)
    return FieldError(field=field, message=message, value=_safe(value))


def _value_at(document: Any, path: str) -> Any:
    """What stands at ``circuits[c1].parent``: an item of a list is named by its id or its position."""
    for part in re.findall(r"[^.\[\]]+", path):
        if isinstance(document, Mapping):
            document = document.get(part)
        elif isinstance(document, Sequence) and not isinstance(document, str):
            document = next((item for i, item in enumerate(document) if part in (str(i), _id_of(item))), None)
    return document


def _id_of(item: Any) -> str | None:
    return str(item.get("id")) if isinstance(item, Mapping) else None


def _safe(value: Any) -> Any:
    """`value` as JSON that any client reads, of bounded length."""
    match value:
        case None | bool():
            return value
        case int():
            return value if abs(value) < 2**53 else "an integer of more than 53 bits"
        case float():
            return value if math.isfinite(value) else _NOT_FINITE.get(value, "NaN")
        case str():
            text = value
        case bytes():
            text = value.decode("utf-8", "replace")
        case datetime() | date() | time():
            text = value.isoformat()
        case _:
            text = _as_json(value)
    return _shortened(text, _VALUE_LENGTH)


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}…"


def _as_json(value: Any) -> str:
    try:
        return json.dumps(value, default=repr, ensure_ascii=False)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__}"


_NOT_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}
