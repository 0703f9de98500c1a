"""Property tests try the same examples in every `make test`, and new ones in `make explore`.

What explore finds becomes a test of its own; a run that checks somebody's change does not fail over something else.
"""

import logging
import os
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

settings.register_profile("fixed", derandomize=True)
settings.register_profile("explore")
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

# Hundreds of services start in these tests, and each would start two processes that solve a plan or two.
os.environ.setdefault("SMARTCHARGE_SOLVE_WORKERS", "thread")


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A command that runs within a test sets up the process's logging; the next test must not find it so."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
        root.handlers, root.level = before, level
