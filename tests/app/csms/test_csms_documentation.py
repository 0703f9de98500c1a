"""What docs/csms.md shows is what the service takes."""

import json
import re
from pathlib import Path
from typing import Any

from app.api.csms_events import CsmsEventIn
from app.csms.remote.settings import RemoteCsms
from app.csms.remote.webhook import result_of

TEXT = (Path(__file__).parents[3] / "docs" / "csms.md").read_text(encoding="utf-8")
EXAMPLES: list[Any] = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, flags=re.DOTALL)]


def test_the_settings_are_settings() -> None:
    (listed,) = [example for example in EXAMPLES if isinstance(example, list)]

    assert [RemoteCsms.model_validate(one).kind for one in listed] == ["webhook", "citrineos"]


def test_the_events_are_events() -> None:
    events = [CsmsEventIn.model_validate(one) for one in EXAMPLES if isinstance(one, dict) and "event_id" in one]

    assert [event.type for event in events] == ["connected", "message", "reply"]


def test_the_answer_in_the_table_is_an_answer() -> None:
    assert '200 `{"result": {…}}`' in TEXT
    assert result_of("cs01", {"result": {"status": "Rejected"}}) == {"status": "Rejected"}
