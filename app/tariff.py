"""The tariff part of a site's document: what its electricity costs, by the local clock and calendar."""

from datetime import date, time, timedelta
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator


class Document(BaseModel):
    """Unknown keys, NaN and infinities are errors that name the field."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MonthDay = Annotated[str, Field(pattern=r"^\d{2}-\d{2}$", description="MM-DD")]


def _on_the_sites_clock(moment: time) -> time:
    if moment.tzinfo is not None:
        raise ValueError(f"{moment} has a time zone: local times are the site's own")
    return moment


def _on_five_minutes(moment: time) -> time:
    if moment.second or moment.microsecond or moment.minute % 5:
        raise ValueError(f"{moment} is not on five minutes")
    return moment


LocalTime = Annotated[time, AfterValidator(_on_the_sites_clock)]
PriceTime = Annotated[LocalTime, AfterValidator(_on_five_minutes)]


class Season(Document):
    """Local days from `first_day` to `last_day`, both included, each year; it may reach over New Year."""

    first_day: MonthDay = "01-01"
    last_day: MonthDay = "12-31"
    weekdays: tuple[Annotated[int, Field(ge=0, le=6)], ...] = Field(
        default=(0, 1, 2, 3, 4, 5, 6), min_length=1, description="0 is Monday."
    )

    @field_validator("first_day", "last_day")
    @classmethod
    def _is_a_day(cls, text: str) -> str:
        date.fromisoformat(f"2024-{text}")  # a leap year, so that 29 February is a day
        return text

    def holds_on(self, day: date) -> bool:
        """By the day of the year alone; `weekdays` is asked for beside it."""
        first, last, this = self.first_day, self.last_day, f"{day:%m-%d}"
        return first <= this <= last if first <= last else this >= first or this <= last


class PriceStep(Document):
    start: PriceTime = Field(description="Local; the price holds until the next step.")
    price_per_kwh: float
    export_price_per_kwh: float | None = Field(default=None, description="Absent: that of the tariff.")


class TariffPeriod(Season):
    """What a local day costs in a season."""

    name: str = ""
    steps: tuple[PriceStep, ...] = Field(min_length=1, description="Rising; the first starts at 00:00.")

    @model_validator(mode="after")
    def _rises_from_midnight(self) -> Self:
        starts = [step.start for step in self.steps]
        if starts[0] != time(0):
            raise ValueError(f"the first step starts at {starts[0]}, not at 00:00")
        if any(later <= earlier for earlier, later in pairwise(starts)):
            raise ValueError(f"steps do not rise: {', '.join(map(str, starts))}")
        return self


class Tier(Document):
    """What a kWh costs more once the site has imported so much in a local month."""

    above_kwh: float = Field(ge=0)
    add_per_kwh: float


def _rising(tiers: tuple[Tier, ...]) -> tuple[Tier, ...]:
    if any(after.above_kwh <= before.above_kwh for before, after in pairwise(tiers)):
        raise ValueError(f"tiers do not rise: {', '.join(f'{tier.above_kwh:g}' for tier in tiers)} kWh")
    return tiers


Tiers = Annotated[tuple[Tier, ...], AfterValidator(_rising)]


class DemandCharge(Season):
    """Money per kW and month of the highest mean import over a clock-aligned interval.

    With a ratchet at least `ratchet_share` of the highest peak of the last `ratchet_months` months is paid for
    anyway, so that staying under it saves nothing.
    """

    id: str = Field(default="month", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,62}$")
    price_per_kw: float = Field(ge=0)
    interval_minutes: Literal[15, 30, 60] = 15
    start: PriceTime = Field(default=time(0), description="Local; active from here ...")
    end: PriceTime = Field(default=time(0), description="... to here; equal to start: all day.")
    ratchet_share: float = Field(default=0.0, ge=0, le=1, description="0: no ratchet.")
    ratchet_months: int = Field(default=11, ge=1, le=24)
    ratchet_peak_kw: float | None = Field(
        default=None, ge=0, description="The highest peak of those months, from a bill; absent: from the readings."
    )


def _of_different_ids(charges: tuple[DemandCharge, ...]) -> tuple[DemandCharge, ...]:
    ids = [charge.id for charge in charges]
    for position, identifier in enumerate(ids):
        if identifier in ids[:position]:
            raise ValueError(f"hold {identifier!r} more than once")
    return charges


DemandCharges = Annotated[tuple[DemandCharge, ...], AfterValidator(_of_different_ids)]


class FixedTariff(Document):
    """One price, always."""

    kind: Literal["fixed"] = "fixed"
    price_per_kwh: float
    export_price_per_kwh: float = 0.0
    demand_charges: DemandCharges = ()
    tiers: Tiers = ()


class TimeOfUseTariff(Document):
    """Prices by season, weekday and local time. Of several periods that hold on a day the first one counts."""

    kind: Literal["time_of_use"] = "time_of_use"
    periods: tuple[TariffPeriod, ...] = Field(min_length=1)
    holidays_as: Annotated[int, Field(ge=0, le=6)] | None = Field(
        default=None,
        description="The weekday that the country's holidays and the site's own count as, e.g. 6: as Sundays. Absent: "
        "as what they are.",
    )
    export_price_per_kwh: float = 0.0
    demand_charges: DemandCharges = ()
    tiers: Tiers = ()

    @model_validator(mode="after")
    def _has_a_price_on_every_day(self) -> Self:
        for year_day in range(366):
            day = date(2024, 1, 1) + timedelta(days=year_day)
            missing = set(range(7)) - {
                weekday for period in self.periods if period.holds_on(day) for weekday in period.weekdays
            }
            if missing:
                raise ValueError(f"periods hold no price on a {WEEKDAYS[min(missing)]} {day:%m-%d}")
        return self


class SeriesTariff(Document):
    """Prices come as series of the kinds `import_price` and `export_price`, uploaded or fetched."""

    kind: Literal["series"] = "series"
    surcharge_per_kwh: float = Field(default=0.0, description="Grid fees on top of every uploaded import price ...")
    tiers: Tiers = ()
    factor: float = Field(default=1.0, gt=0, description="... and taxes on both: (price + surcharge) × factor.")
    export_price_per_kwh: float = Field(default=0.0, description="Where no export series is known.")
    demand_charges: DemandCharges = ()


Tariff = Annotated[FixedTariff | TimeOfUseTariff | SeriesTariff, Field(discriminator="kind")]
