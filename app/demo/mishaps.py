"""What goes wrong on the day of `smartcharge demo --chaos`, and when. Fixed, like the rest of the demo's day."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

import numpy as np

from app.demo.faults import Fault
from app.demo.physics import Surroundings
from app.demo.scenario import Scenario
from app.site import Site

Kind = Literal["drop", "offline", "misbehave", "jump", "kill", "prices"]
METER_S = 60  # how often the building's meter reports; a jump it reports at once
JUMP_KW = 1.0  # that it calls a jump


@dataclass(frozen=True, slots=True)
class Mishap:
    """One thing that goes wrong at `hour` of the local day, for `minutes`; 0: only for a moment."""

    hour: float
    kind: Kind
    minutes: float = 0.0
    stations: tuple[str, ...] = ()
    fault: Fault | None = None
    kw: float = 0.0

    def at(self, scenario: Scenario) -> datetime:
        return scenario.start + timedelta(hours=self.hour)

    def until(self, scenario: Scenario) -> datetime:
        return self.at(scenario) + timedelta(minutes=self.minutes)

    def __str__(self) -> str:
        who = ", ".join(self.stations)
        said = {
            "drop": f"the connection of {who} is cut",
            "offline": f"{who} is out of reach",
            "misbehave": f"{who} {self.fault.meaning if self.fault else ''}",
            "jump": f"the building draws {self.kw:g} kW more",
            "kill": "the service is killed, and started again",
            "prices": "the day's prices end, and nobody publishes more",
        }[self.kind]
        return said + (f", for {self.minutes:g} minutes" if self.minutes else "")


MISHAPS: tuple[Mishap, ...] = (
    Mishap(7.6, "drop", stations=("cs02", "cs10")),
    Mishap(8.2, "misbehave", 45, ("cs04",), Fault.IGNORES_PROFILES),
    Mishap(8.7, "offline", 25, ("cs07",)),
    Mishap(9.3, "misbehave", 40, ("cs12",), Fault.DROPS_IN_PROFILE),
    Mishap(9.55, "jump", 40, kw=14.0),
    Mishap(10.6, "kill", 2),
    Mishap(11.2, "drop", stations=("cs01", "cs05", "cs06")),
    Mishap(11.6, "misbehave", 60, ("cs11",), Fault.METER_SILENT),
    Mishap(12.0, "prices", 150),
    Mishap(12.4, "misbehave", 30, ("cs06",), Fault.REJECTS_TX_PROFILES),
    Mishap(13.1, "kill", 3),
    Mishap(13.7, "jump", 30, kw=15.0),
    Mishap(14.3, "offline", 20, ("cs03", "cs09")),
    Mishap(15.0, "drop", stations=("cs02", "cs09", "cs12")),
)


def disturbed(site: Site) -> Site:
    """The demo's site with a building meter that the fuse guard goes by."""
    document = site.model_dump(mode="json")
    for meter in document["meters"]:
        if meter["measures"] == "base_load":
            meter["interval_s"] = METER_S
    return Site.model_validate(document)


def jumped(scenario: Scenario, mishaps: Sequence[Mishap]) -> Scenario:
    """The world with the building's jumps, minute by minute: what its meter tells history."""
    load_kw = scenario.world.base_load_kw.copy()
    for jump in (mishap for mishap in mishaps if mishap.kind == "jump"):
        first, last = (
            int((moment - scenario.world.start) / timedelta(minutes=1))
            for moment in (jump.at(scenario), jump.until(scenario))
        )
        load_kw[first:last] += jump.kw
    return replace(scenario, world=replace(scenario.world, base_load_kw=load_kw))


def surroundings_of(calm: Scenario, mishaps: Sequence[Mishap]) -> Surroundings:
    """Second by second, each jump from one second to the next."""
    surroundings = calm.world.surroundings(calm.start, calm.end)
    load_kw = np.array(surroundings.base_load_kw)
    for jump in (mishap for mishap in mishaps if mishap.kind == "jump"):
        first, last = (int((moment - calm.start).total_seconds()) for moment in (jump.at(calm), jump.until(calm)))
        load_kw[first:last] += jump.kw
    return replace(surroundings, base_load_kw=load_kw)
