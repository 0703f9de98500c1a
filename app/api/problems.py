"""Errors as RFC 9457 `application/problem+json`. The table of statuses is `app.errors.PROBLEMS`.

What was refused is named by path and value: `app.field_errors`.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.api.json_body import RepeatedKeyInBodyError
from app.errors import PROBLEMS
from app.field_errors import MOST_ERRORS, TEXT_LENGTH, VALUE_LENGTH, FieldError, field_errors, shortened

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
_KINDS = {
    HTTPStatus.BAD_REQUEST: "malformed",
    HTTPStatus.UNAUTHORIZED: "unauthorized",
    HTTPStatus.FORBIDDEN: "forbidden",
    HTTPStatus.NOT_FOUND: "not-found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method-not-allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too-large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported-media-type",
}


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
        detail=shortened(detail, TEXT_LENGTH),
    )
    if errors:
        body.errors = list(errors)[:MOST_ERRORS]
    content = body.model_dump(exclude_unset=True)  # a null that was refused is a value; one that was not sent is none
    return JSONResponse(content, status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def of_exception(error: Exception) -> Response:
    """The problem of an error from `PROBLEMS`, of the nearest class in its tree."""
    status, kind = next(PROBLEMS[parent] for parent in type(error).__mro__ if parent in PROBLEMS)
    field, message = getattr(error, "field", None), getattr(error, "message", None)
    errors = []
    if isinstance(field, str) and isinstance(message, str):
        errors = [FieldError(field=field, message=shortened(message, TEXT_LENGTH))]
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
            detail = f"{detail}: {request.method} {request.url.path[:VALUE_LENGTH]}"
        return problem(status, _KINDS.get(status, "http"), detail, headers=error.headers)

    async def unexpected(_: Request, error: Exception) -> Response:
        log.error("request failed", error=repr(error), exc_info=error)
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "something went wrong; the log says what")

    async def repeated(_: Request, error: Exception) -> Response:
        assert isinstance(error, RepeatedKeyInBodyError)  # noqa: S101 - what it is installed for
        wrong = FieldError(field=error.field, message=error.message)
        return problem(error.status_code, "invalid-input", error.detail, [wrong])

    for kind in PROBLEMS:
        app.add_exception_handler(kind, known)
    app.add_exception_handler(RepeatedKeyInBodyError, repeated)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, unexpected)
