"""JSON in which no key stands twice: Python takes the last, and a limit that is overwritten in silence is no limit."""

import json
from collections import Counter
from typing import Any


class RepeatedKeyError(ValueError):
    """`key` stands more than once in one object."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"the key {key!r} stands more than once in one object")


def loads(text: str | bytes) -> Any:
    """`json.loads`, which also raises `RepeatedKeyError`."""
    return json.loads(text, object_pairs_hook=_each_key_once)


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    item = dict(pairs)
    if len(item) != len(pairs):
        times = Counter(key for key, _ in pairs)
        raise RepeatedKeyError(next(key for key, count in times.items() if count > 1))
    return item
