"""Request bodies in which no key stands twice."""

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from app.field_errors import VALUE_LENGTH, shortened
from app.strict_json import RepeatedKeyError, loads


class RepeatedKeyInBodyError(HTTPException):
    """Refused as the other errors of a body are; an `HTTPException`, because FastAPI makes 400 of any other."""

    def __init__(self, key: str) -> None:
        self.field = shortened(key, VALUE_LENGTH)
        self.message = "stands more than once in one object"
        super().__init__(HTTPStatus.UNPROCESSABLE_ENTITY, f"{self.field}: {self.message}")


class _EachKeyOnce(Request):
    async def json(self) -> Any:
        try:
            return loads(await self.body())
        except RepeatedKeyError as repeated:
            raise RepeatedKeyInBodyError(repeated.key) from repeated


class EachKeyOnceRoute(APIRoute):
    """``APIRouter(route_class=EachKeyOnceRoute)``: for bodies in which a limit may be overwritten."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def once(request: Request) -> Response:
            return await handle(_EachKeyOnce(request.scope, request.receive))

        return once
