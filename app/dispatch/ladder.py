"""The forms in which a plan may be written for a station: from what its passport promises to what hardly any refuse."""

from dataclasses import dataclass, replace

from app.csms.connector import Kind, Passport, Purpose, RateUnit
from app.csms.corrections import Corrections
from app.csms.profiles import PLAN_STACK_LEVEL, plan_place, preferred_unit

FEW_PERIODS = 5  # a station that takes fewer periods than it says takes this many, or one


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way of writing a profile that a station may accept."""

    unit: RateUnit
    purpose: Purpose
    stack_level: int
    max_periods: int
    kind: Kind

    def narrowed(self, passport: Passport) -> Passport:
        """The passport as if the station took nothing but this form."""
        return replace(
            passport,
            units=frozenset({self.unit}),
            max_periods=self.max_periods,
            kinds=frozenset({self.kind}),
        )

    def lesson(self, better: "Recipe", passport: Passport) -> Corrections:
        """What the station has taught by taking this form after it had declined a `better` one."""
        without_tx = tuple(sorted(passport.purposes - {Purpose.TX}))
        return Corrections(
            units=(self.unit,) if self.unit is not better.unit else None,
            purposes=without_tx if self.purpose is not better.purpose else None,
            max_stack_level=self.stack_level if self.stack_level < better.stack_level else None,
            max_periods=self.max_periods if self.max_periods < better.max_periods else None,
            kinds=(self.kind,) if self.kind is not better.kind else None,
        )


def ladder(passport: Passport, *, is_dc: bool, has_transaction: bool = True) -> tuple[Recipe, ...]:
    """The other unit, level 0, fewer periods, Relative, the other purpose, a single period; best first.

    A TxDefaultProfile at level 0 would take the fallback's place: only where the station has no other level and no
    TxProfile, and in a transaction. Empty: this station cannot be told before a vehicle is there.
    """
    unit, (purpose, level) = preferred_unit(passport, is_dc=is_dc), plan_place(passport)
    if not has_transaction:
        if passport.max_stack_level < PLAN_STACK_LEVEL or Purpose.TX_DEFAULT not in passport.purposes:
            return ()
        purpose = Purpose.TX_DEFAULT
    relative_only = Kind.ABSOLUTE not in passport.kinds and Kind.RELATIVE in passport.kinds
    kind = Kind.RELATIVE if relative_only else Kind.ABSOLUTE
    best = Recipe(unit, purpose, level, 1 if relative_only else passport.max_periods, kind)
    other = RateUnit.A if unit is RateUnit.W else RateUnit.W
    lowest = 0 if purpose is Purpose.TX else level
    rungs = [
        best,
        replace(best, unit=other),
        replace(best, stack_level=lowest),
        replace(best, max_periods=min(FEW_PERIODS, best.max_periods)),
        replace(best, kind=Kind.ABSOLUTE if relative_only else Kind.RELATIVE, max_periods=1),
    ]
    if purpose is Purpose.TX and passport.max_stack_level >= PLAN_STACK_LEVEL:
        as_default = replace(best, purpose=Purpose.TX_DEFAULT, stack_level=PLAN_STACK_LEVEL)
        rungs += [as_default, replace(as_default, unit=other)]
    single = replace(best, max_periods=1)
    rungs += [single, replace(single, stack_level=lowest), replace(single, unit=other, stack_level=lowest)]
    return tuple(dict.fromkeys(rungs))
