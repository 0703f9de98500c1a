"""Problems that used up their time limit, kept as files that `smartcharge plan FILE` solves again."""

import json
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from app.problem_json import problem_to_json
from optimizer.domain import Problem

OF_SITES = "timed-out"  # below the data directory
OF_REQUESTS = "timed-out/requests"  # apart, so that nobody's what-if pushes out what a site met at night
MOST_KEPT = 20  # the newest; a request body has at most 2 MB
MOST_OF_A_MOMENT = 100  # problems with one name and one time: several services may share a directory

_NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[A-Za-z0-9_-]{1,40}(-\d{1,2})?\.json")  # what we write, and may remove
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class TimedOut:
    """Where they are kept. A plain value, so that a solve in another process can take it along."""

    directory: Path

    def keep(self, problem: Problem, *, name: str, at: datetime) -> Path:
        """Write `problem` under the moment `at` and a name without anything that a path could mean; its path.

        What others wrote there stays; of ours the newest `MOST_KEPT` do. Only the owner may read it. Raises `OSError`.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = json.dumps(problem_to_json(problem), ensure_ascii=False, allow_nan=False)
        path = self._written(f"{at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}-{safe_name(name)}", text)
        others = sorted(one for one in self.directory.iterdir() if _NAME.fullmatch(one.name) and one != path)
        for oldest in others[: max(len(others) - MOST_KEPT + 1, 0)]:
            oldest.unlink(missing_ok=True)
        return path

    def _written(self, stem: str, text: str) -> Path:
        """Whole or not at all: a name that exists has its whole text."""
        part = self.directory / f"{stem}.{os.getpid()}.part"
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            for number in range(MOST_OF_A_MOMENT):
                path = self.directory / (f"{stem}-{number}.json" if number else f"{stem}.json")
                try:
                    path.hardlink_to(part)  # unlike a rename it never replaces what is there
                except FileExistsError:
                    continue
                return path
            raise FileExistsError(f"{self.directory / stem}.json and {MOST_OF_A_MOMENT - 1} more of its name exist")
        finally:
            part.unlink()


def safe_name(name: str) -> str:
    """`name` as a part of a file's name: letters, digits, ``_`` and ``-``; a site's id may hold other things."""
    return _UNSAFE.sub("_", name)[:40].strip("_") or "problem"
