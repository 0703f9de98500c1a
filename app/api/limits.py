"""Bodies have a largest size; what is larger is refused with 413 before it is kept in memory."""

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import problems


class BodyLimit:
    """ASGI middleware: `max_bytes` for a body, `max_upload_bytes` where the path ends like one of `uploads`.

    FastAPI's own limit answers in plain text; ours is a problem like every other.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, max_upload_bytes: int, uploads: tuple[str, ...]) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_upload_bytes = max_upload_bytes
        self._uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._max_upload_bytes if scope["path"].endswith(self._uploads) else self._max_bytes
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and (len(declared) > 18 or int(declared) > limit):
            await problems.too_large(limit)(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, problems.too_large_text(limit))
            return message

        await self._app(scope, counted, send)
