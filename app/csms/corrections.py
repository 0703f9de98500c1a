"""What is known of a station's passport better than the station says it: some of its fields, as a document.

The same form in the quirk file, in a site's document, and in the store for what a probe or a station's answers taught.
"""

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field

from app.csms.connector import Kind, Passport, PauseMethod, Purpose, RateUnit
from app.tariff import Document

SETTABLE_PURPOSES = tuple(purpose for purpose in Purpose if purpose is not Purpose.EXTERNAL)

Kinds = Annotated[tuple[Kind, ...], Field(min_length=1)]
Purposes = Annotated[tuple[Purpose, ...], Field(min_length=1)]
Units = Annotated[tuple[RateUnit, ...], Field(min_length=1)]


class Corrections(Document):
    """Fields of `Passport` by their names; an absent one is left as it is."""

    smart_charging: bool | None = Field(default=None, description="false: it takes no charging profiles.")
    units: Units | None = Field(default=None, description="Of limits that it takes: A per phase, W in total.")
    purposes: Purposes | None = Field(default=None, description="Of profiles that it takes.")
    kinds: Kinds | None = Field(default=None, description="Of profiles that it executes.")
    max_periods: int | None = Field(default=None, ge=1, description="Periods of one charging profile.")
    max_stack_level: int | None = Field(default=None, ge=0, description="The highest level; 0: there is only one.")
    max_profiles: int | None = Field(default=None, ge=1, description="Charging profiles that it holds.")
    decimals: Literal[0, 1] | None = Field(default=None, description="Of a limit.")
    min_limit_a: float | None = Field(
        default=None, ge=0, le=80, description="A per phase: the least limit other than 0."
    )
    pause: PauseMethod | None = Field(default=None, description="How it is brought to draw nothing.")
    honest_readback: bool | None = Field(
        default=None, description="false: what it reports of its schedules proves nothing."
    )
    needs_remote_start: bool | None = Field(
        default=None, description="true: it heeds profiles only in a transaction that was started remotely."
    )
    phases_switchable: bool | None = Field(default=None, description="true: it charges on as many phases as told.")

    @property
    def named(self) -> dict[str, Any]:
        """The fields that are there, with the types of `Passport`."""
        return {
            name: frozenset(value) if isinstance(value, tuple) else value
            for name in type(self).model_fields
            if (value := getattr(self, name)) is not None
        }

    def applied_to(self, passport: Passport) -> Passport:
        return replace(passport, **self.named)

    def joined(self, later: "Corrections") -> "Corrections":
        """Both; where they name the same field, `later` counts."""
        return self.model_copy(update={name: getattr(later, name) for name in later.named})

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_none=True)
