import io
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
import structlog

from app import logs

Lines = Callable[[], list[dict[str, Any]]]
TOKEN = "sc_0123456789ab_" + "A" * 43


@pytest.fixture
def lines() -> Lines:
    """What is logged, as JSON."""
    stream = io.StringIO()
    logs.configure("INFO", stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_of_json(lines: Lines) -> None:
    structlog.get_logger().info("planned", site="depot")

    [line] = lines()
    assert (line["event"], line["site"], line["level"]) == ("planned", "depot", "info")
    assert line["timestamp"].endswith("Z")


def test_the_standard_librarys_records_look_the_same(lines: Lines) -> None:
    logging.getLogger("library").warning("odd: %s", 7)

    assert lines()[0]["event"] == "odd: 7"


def test_less_than_the_level_is_not_logged(lines: Lines) -> None:
    structlog.get_logger().debug("noise")

    assert lines() == []


def test_secrets_are_hidden_wherever_they_stand(lines: Lines) -> None:
    log = structlog.get_logger()
    log.info("a", password="hunter2", headers={"Authorization": "Basic aGk6aHVudGVyMg=="})
    log.info(
        "a key was used",
        text=f"key {TOKEN}",
        url="postgresql+asyncpg://user:hunter2@host/db",
        rows=[{"api_key": TOKEN}],
    )
    logging.getLogger("library").warning("connecting to %s", "postgresql://user:hunter2@host/db")
    try:
        chosen = ["hunter2"]
        raise ValueError(f"refused {TOKEN} of {len(chosen)}")
    except ValueError:
        log.exception("failed")

    text = json.dumps(lines())
    assert len(lines()) == 4
    assert "hunter2" not in text
    assert "aGk6" not in text
    assert "A" * 43 not in text
    assert "***@host" in text
