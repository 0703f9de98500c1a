"""Errors as RFC 9457 `application/problem+json`. The table of statuses is `app.errors.PROBLEMS`.

What was refused is named by path and value. Values are made safe first: JSON knows no NaN, and a password that was
refused must not come back.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.errors import PROBLEMS

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
_VALUE_LENGTH = 200  # of a quoted value, in characters
_SECRETS = frozenset({"password", "key", "token", "secret"})
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\[[^\]]+\]|\.[A-Za-z_][A-Za-z0-9_]*)*")
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
        detail=detail,
        errors=list(errors),
    )
    return JSONResponse(
        body.model_dump(exclude_defaults=True), status, media_type=MEDIA_TYPE, headers=dict(headers or {})
    )


def of_exception(error: Exception) -> Response:
    """The problem of an error from `PROBLEMS`, of the nearest class in its tree."""
    status, kind = next(PROBLEMS[parent] for parent in type(error).__mro__ if parent in PROBLEMS)
    field, message = getattr(error, "field", None), getattr(error, "message", None)
    errors = [FieldError(field=field, message=message)] if isinstance(field, str) and isinstance(message, str) else []
    headers = {"WWW-Authenticate": 'Bearer realm="smartcharge"'} if status == HTTPStatus.UNAUTHORIZED else None
    return problem(status, kind, str(error), errors, headers)


def of_validation(error: RequestValidationError | ValidationError) -> Response:
    """422, or 400 where the body is no JSON at all."""
    errors = [_field_error(item) for item in error.errors()]
    if any(item["type"] == "json_invalid" for item in error.errors()):
        return problem(HTTPStatus.BAD_REQUEST, "malformed", "the body is not JSON", errors)
    first = errors[0]
    detail = f"{first.field}: {first.message}" if first.field else first.message
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-input", detail + more, errors)


def install(app: FastAPI) -> None:
    """Every error of `app` leaves it as a problem."""

    async def known(_: Request, error: Exception) -> Response:
        return of_exception(error)

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError | ValidationError)  # noqa: S101 - what it is installed for
        return of_validation(error)

    async def http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - what it is installed for
        status = HTTPStatus(error.status_code)
        return problem(status, _KINDS.get(status, "http"), str(error.detail), headers=error.headers)

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
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _field_error(item: Mapping[str, Any]) -> FieldError:
    field, message, value = path_of(item["loc"]), str(item["msg"]).removeprefix("Value error, "), item.get("input")
    if item["type"] == "json_invalid":
        return FieldError(field="", message=f"{item.get('ctx', {}).get('error', message)} ({item['loc'][-1]})")
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
            document = next(
                (item for i, item in enumerate(document) if part in (str(i), _id_of(item))), None
            )
    return document


def _id_of(item: Any) -> str | None:
    return str(item.get("id")) if isinstance(item, Mapping) else None


def _safe(value: Any) -> Any:
    """`value` as JSON that any client reads, of bounded length."""
    if value is None or isinstance(value, bool | str):
        return value if not isinstance(value, str) or len(value) <= _VALUE_LENGTH else f"{value[:_VALUE_LENGTH]}…"
    if isinstance(value, int):
        return value if abs(value) < 2**53 else "an integer of more than 53 bits"
    if isinstance(value, float):
        return value if math.isfinite(value) else _NOT_FINITE.get(value, "NaN")
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return _safe(value.decode("utf-8", "replace"))
    try:
        text = json.dumps(value, default=repr, ensure_ascii=False)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__}"
    return _safe(text)


_NOT_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}
