"""What is asked before the service calls itself ready."""

import asyncio

import pytest

from app import readiness as module
from app.errors import StoreUnavailableError
from app.readiness import Answer, Readiness
from tests.app.api.builders import an_api


async def well() -> None:
    return None


async def stale() -> str:
    return "the newest price is 3 h old"


async def down() -> None:
    raise StoreUnavailableError("the disk is full")


async def broken() -> None:
    raise KeyError("price")


async def test_every_question_is_answered_whatever_the_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    readiness = Readiness()
    for name, question in {"a": well, "b": stale, "c": down, "d": broken, "e": asyncio.Event().wait}.items():
        readiness.add(name, question, needed=name != "b")  # type: ignore[arg-type]  # the last one never answers

    answers = await readiness.answers()

    assert answers == [
        Answer("a", True, None),
        Answer("b", False, "the newest price is 3 h old"),
        Answer("c", True, "the disk is full"),
        Answer("d", True, "KeyError: 'price'"),
        Answer("e", True, "no answer within 0.05 s"),
    ]


@pytest.mark.parametrize(("needed", "status"), [(True, 503), (False, 200)])
async def test_what_is_not_needed_is_told_and_leaves_the_service_ready(needed: bool, status: int) -> None:
    async with an_api() as api:
        api.app.state.services.readiness.add("prices", stale, needed=needed)
        ready = await api.anonymous.get("/health/ready")

    assert ready.status_code == status
    assert ready.json()["troubles"] == {"prices": "the newest price is 3 h old"}
