"""Spans: where they begin and end, and that without a tracer there are none."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from app import tracing
from app.api.sites import EXAMPLE as SITE
from app.errors import InvalidInputError
from app.main import service
from app.site import Site
from tests.app.test_main import settings


class Noted:
    """A tracer that remembers."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, str | None, Mapping[str, str]]] = []
        self._open: list[str] = []

    @contextmanager
    def start_as_current_span(self, name: str, *, attributes: Mapping[str, str]) -> Iterator[None]:
        self.spans.append((name, self._open[-1] if self._open else None, attributes))
        self._open.append(name)
        try:
            yield
        finally:
            self._open.pop()


@pytest.fixture
def noted() -> Iterator[Noted]:
    tracer = Noted()
    tracing.use(tracer)
    yield tracer
    tracing.use(None)


async def test_a_plan_is_a_span_with_its_parts_inside(noted: Noted, tmp_path: Path) -> None:
    async with service(settings(tmp_path)) as running:
        await running.store.save_site(Site.model_validate(SITE))
        noted.spans.clear()
        await running.planner.plan("depot")

    own = [(name, parent) for name, parent, _ in noted.spans[:4]]
    assert own == [("plan", None), ("gather", "plan"), ("solve", "plan"), ("dispatch", "plan")]
    assert {attributes.get("site", "depot") for _, _, attributes in noted.spans} == {"depot"}


async def test_a_span_ends_when_its_work_fails(noted: Noted, tmp_path: Path) -> None:
    async with service(settings(tmp_path)) as running:
        for _ in range(2):
            with pytest.raises(LookupError):
                await running.planner.plan("nowhere")

    assert noted.spans == [("plan", None, {"site": "nowhere"})] * 2


def test_without_a_tracer_a_span_is_always_the_same_nothing() -> None:
    assert tracing.span("a") is tracing.span("b", site="depot")


def test_without_an_endpoint_nothing_is_set_up() -> None:
    assert not tracing.configure({})
    assert tracing.span("a") is tracing.span("b")


def test_an_endpoint_without_the_extra_is_named_with_the_remedy() -> None:
    if find_spec("opentelemetry") is not None and find_spec("opentelemetry.sdk") is not None:
        pytest.skip("the extra is installed here")
    with pytest.raises(InvalidInputError, match=r"smartcharge\[otel\]"):
        tracing.configure({tracing.ENDPOINT: "http://127.0.0.1:4318"})


def test_with_the_extra_spans_go_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        pytest.skip("opentelemetry-sdk is not installed: pip install 'smartcharge[otel]'")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")  # nobody listens here
    try:
        assert tracing.configure({tracing.ENDPOINT: "http://127.0.0.1:1"})
        span: Any = tracing.span("plan", site="depot")
        with span as current:
            assert current.get_span_context().is_valid
    finally:
        tracing.use(None)
