"""The quirk file: what is known of stations by vendor, model and firmware, each line with its source."""

import re
import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Annotated

from pydantic import AfterValidator, Field

from app.csms.corrections import Corrections
from app.tariff import Document

FILE = "quirks.toml"


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
    return pattern


Pattern = Annotated[str, Field(min_length=2, max_length=100), AfterValidator(_compiles)]


class Quirk(Document):
    """One line of the file: which stations, what of them, who reported it."""

    vendor: Pattern
    model: Pattern | None = None
    firmware: Pattern | None = None
    settings: Corrections
    source: str = Field(pattern=r"^[\w.-]+/[\w.-]+#\d+$", description="owner/repository#number")
    note: str = Field(min_length=1)

    def fits(self, vendor: str | None, model: str | None, firmware: str | None) -> bool:
        """A station that does not say what a pattern asks for does not fit."""
        asked = ((self.vendor, vendor), (self.model, model), (self.firmware, firmware))
        return all(pattern is None or (said and re.search(pattern, said, re.IGNORECASE)) for pattern, said in asked)


class QuirkFile(Document):
    quirk: tuple[Quirk, ...]


def quirks_of(vendor: str | None, model: str | None, firmware: str | None) -> tuple[Quirk, ...]:
    """Those that fit a station, in the order of the file."""
    return tuple(quirk for quirk in all_quirks() if quirk.fits(vendor, model, firmware))


@cache
def all_quirks() -> Sequence[Quirk]:
    text = files("app.csms").joinpath(FILE).read_text(encoding="utf-8")
    return QuirkFile.model_validate(tomllib.loads(text)).quirk
