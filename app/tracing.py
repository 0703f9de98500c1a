"""Spans for OpenTelemetry: gather, solve, save and dispatch of each plan. Without the extra `otel` they are nothing.

``OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318 smartcharge serve`` sends them; all other variables of
OpenTelemetry's own (``OTEL_SERVICE_NAME``, ``OTEL_TRACES_SAMPLER``, ...) hold as its documents say.
"""

from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ParamSpec, Protocol, TypeVar

from app.errors import InvalidInputError

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
SERVICE = "OTEL_SERVICE_NAME"
EXTRA = "pip install 'smartcharge[otel]'"

P = ParamSpec("P")
T = TypeVar("T")

_nothing = nullcontext()


class Tracer(Protocol):
    """OpenTelemetry's, as far as it is used here."""

    def start_as_current_span(self, name: str, *, attributes: Mapping[str, str]) -> AbstractContextManager[Any]: ...


_tracer: Tracer | None = None


def span(name: str, **attributes: str) -> AbstractContextManager[Any]:
    """Time what the body does, under `name`; with ids of site, run or plan as attributes, never of drivers."""
    if _tracer is None:
        return _nothing
    return _tracer.start_as_current_span(name, attributes=attributes)


def traced(name: str) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Callable[P, Coroutine[Any, Any, T]]]:
    """A span around every call of a method whose first argument is a site, or its id."""

    def around(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        @wraps(method)
        async def timed(*arguments: P.args, **named: P.kwargs) -> T:
            if _tracer is None:
                return await method(*arguments, **named)
            site = arguments[1] if len(arguments) > 1 else next(iter(named.values()))
            with span(name, site=str(getattr(site, "id", site))):
                return await method(*arguments, **named)

        return timed

    return around


def use(tracer: Tracer | None) -> None:
    """Send spans to `tracer` from now on; None: to nobody."""
    global _tracer  # noqa: PLW0603  # one a process, as OpenTelemetry has it
    _tracer = tracer


def configure(environment: Mapping[str, str]) -> bool:
    """Send spans where the environment says; whether it says so. Raises `InvalidInputError` without the extra."""
    if not environment.get(ENDPOINT):
        return False
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        raise InvalidInputError(ENDPOINT, f"is set, and spans need the extra: {EXTRA}")
    sdk: Any = import_module("opentelemetry.sdk.trace")
    resources: Any = import_module("opentelemetry.sdk.resources")
    export: Any = import_module("opentelemetry.sdk.trace.export")
    http: Any = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    named = resources.Resource.create({} if environment.get(SERVICE) else {"service.name": "smartcharge"})
    provider = sdk.TracerProvider(resource=named)
    provider.add_span_processor(export.BatchSpanProcessor(http.OTLPSpanExporter()))
    use(provider.get_tracer("smartcharge"))
    return True
