"""The dashboard's files, and the same-origin cookie that its event stream needs (it cannot send a key header)."""

import gzip
import re
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import Field

from app.api.auth import COOKIE, SESSION_LASTS, Sessions, refuse_forgery
from app.api.keys import KeyOut
from app.api.services import KeysDep
from app.errors import NotFoundError, UnauthorizedError
from app.problem_json.fields import Edge

router = APIRouter(tags=["dashboard"])

WEB = Path(__file__).parent.parent / "web"
PLOTLY = f"plotly-{version('plotly')}.min.js"
PAGE_HEADERS = {
    # plotly sets styles of its own: without 'unsafe-inline' for styles it draws broken pictures
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
_FILE_NAME = re.compile(r"[A-Za-z0-9_\-]+(\.[A-Za-z0-9_\-]+)*")
_FOR_EVER = "public, max-age=31536000, immutable"


class SessionIn(Edge):
    key: str = Field(max_length=200, description="an API key")


@router.post("/session")
async def open_session(wish: SessionIn, request: Request, response: Response, keys: KeysDep) -> KeyOut:
    """Trade an API key for a cookie of this origin that lasts twelve hours."""
    key = await keys.authenticate(wish.key)
    response.set_cookie(
        COOKIE,
        _sessions(request).open(key.key_id),
        max_age=int(SESSION_LASTS.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
        path="/",
    )
    response.headers["Cache-Control"] = "no-store"
    return KeyOut.of(key)


@router.get("/session")
async def get_session(request: Request, response: Response, keys: KeysDep) -> KeyOut:
    """Whose session this is; 401 when there is none."""
    response.headers["Cache-Control"] = "no-store"
    cookie = request.cookies.get(COOKIE)
    if cookie is None:
        raise UnauthorizedError("there is no session: open one with an API key")
    return KeyOut.of(await keys.known(_sessions(request).key_id(cookie)))


@router.delete("/session", status_code=HTTPStatus.NO_CONTENT)
async def close_session(request: Request, response: Response) -> None:
    """Forget the cookie. To end a session for good, revoke its key."""
    refuse_forgery(request.headers)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")


@router.get("/", include_in_schema=False)
async def page() -> Response:
    """The dashboard."""
    index = WEB / "index.html"
    if not index.is_file():
        raise NotFoundError("dashboard", "index.html")
    html = index.read_text("utf-8").replace("/static/plotly.min.js", f"/static/{PLOTLY}")
    return HTMLResponse(html, headers={**PAGE_HEADERS, "Cache-Control": "no-cache"})


@router.get("/static/{name}", include_in_schema=False)
async def static(name: str, request: Request) -> Response:
    """One of the dashboard's own files, or plotly's script under a name that never changes its content."""
    is_gzip = "gzip" in request.headers.get("accept-encoding", "")
    if name in (PLOTLY, "plotly.min.js"):
        body, cache_control = _plotly(), _FOR_EVER if name == PLOTLY else "no-cache"
        if not is_gzip:
            body = gzip.decompress(body)
        return Response(body, headers=_file_headers(name, cache_control, is_gzip))
    path = WEB / name
    if not _FILE_NAME.fullmatch(name) or path.suffix not in _TYPES or not path.is_file():
        raise NotFoundError("file", name)
    return Response(path.read_bytes(), headers=_file_headers(name, "no-cache", is_gzip=False))


def _file_headers(name: str, cache_control: str, is_gzip: bool) -> dict[str, str]:
    headers = {**PAGE_HEADERS, "Cache-Control": cache_control, "Content-Type": _TYPES[Path(name).suffix]}
    return {**headers, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"} if is_gzip else headers


@cache
def _plotly() -> bytes:
    """plotly's script from the installed package, compressed once: 4.8 MB become 1.4."""
    return gzip.compress((files("plotly") / "package_data" / "plotly.min.js").read_bytes(), compresslevel=6, mtime=0)


def _sessions(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.sessions
    return sessions
