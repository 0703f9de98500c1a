"""Whether the service can do its work: a list of questions, to which every part of it may add its own.

    readiness.add("prices", prices_are_fresh, needed=False)

A question answers with what is wrong, or None. `/health/ready` is 503 while anything that is needed is wrong; what is
not needed is told and alarmed, for a service that plans on old prices is better than none.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from app.errors import AppError

PATIENCE_S = 3.0  # for one answer: who asks has patience for a few seconds, and a database may have none

Question = Callable[[], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class Answer:
    """`trouble` None: all is well."""

    name: str
    needed: bool
    trouble: str | None


class Readiness:
    """Asks all at once, whenever somebody wants to know."""

    def __init__(self) -> None:
        self._questions: dict[str, tuple[Question, bool]] = {}

    def add(self, name: str, question: Question, *, needed: bool = True) -> None:
        """`question` may raise an `AppError` in place of an answer. A name that is there gets the new question."""
        self._questions[name] = (question, needed)

    async def answers(self) -> list[Answer]:
        """In the order in which they were added. Never raises, and takes `PATIENCE_S` at most."""
        asked = list(self._questions.items())
        troubles = await asyncio.gather(*(_ask(question) for _, (question, _) in asked))
        return [Answer(name, needed, trouble) for (name, (_, needed)), trouble in zip(asked, troubles, strict=True)]


async def _ask(question: Question) -> str | None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await question()
    except TimeoutError:
        return f"no answer within {PATIENCE_S:g} s"
    except AppError as error:
        return str(error)
    except Exception as error:  # a question with a bug is no answer, and must not take the others along
        return f"{type(error).__name__}: {error}"
