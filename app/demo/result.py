"""What a day of the demo came to: one JSON object, and whether it was good."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.demo.policies import Outcome
from app.demo.scenario import Scenario

# States of a delivery whose profile has left the service, or may have (`app.db.records.DeliveryState`).
ON_ITS_WAY = frozenset({"sent", "accepted", "applied", "verified", "contradicted", "ignored", "rejected", "unknown"})
PROVEN = frozenset({"applied", "verified"})  # read back; and with the meter too
UNCHANGED = "unchanged"  # the detail of a delivery for which nothing had to be sent anew

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeliveryCount:
    """Profiles that were sent and, of these, verified; and what of the profiles in force is not verified."""

    sent: int
    verified: int
    unverified: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DemoResult:
    """A day with plans beside the same day without. Figures come from the simulated meters."""

    stations: int
    deliveries: DeliveryCount
    planned_cost: float
    realised: Outcome
    uncontrolled: Outcome
    equal_share: Outcome

    def to_json(self) -> Json:
        policies = {
            "realised": self.realised,
            "uncontrolled": self.uncontrolled,
            "equal_share": self.equal_share,
        }
        return {
            "stations": self.stations,
            "profiles_sent": self.deliveries.sent,
            "profiles_verified": self.deliveries.verified,
            "sessions": [
                {
                    "id": session.session_id,
                    "asked_kwh": session.asked_kwh,
                    "delivered_kwh": round(session.delivered_kwh, 3),
                    "departure_met": session.departure_met,
                }
                for session in self.realised.sessions
            ],
            "cost": {"planned": round(self.planned_cost, 2)}
            | {name: round(outcome.cost, 2) for name, outcome in policies.items()},
            "unmet_kwh": {name: round(outcome.unmet_kwh, 3) for name, outcome in policies.items()},
            "peak_kw": {name: round(outcome.measured.peak_kw, 1) for name, outcome in policies.items()},
            "limit_violations": self.realised.measured.violations,
            "uncontrolled_violations": self.uncontrolled.measured.violations,
        }

    @property
    def failures(self) -> tuple[str, ...]:
        """Why the exit status is not 0; empty when all is well."""
        found = list(self.deliveries.unverified)
        if self.deliveries.sent == 0:
            found.append("no profile was sent")
        found += [
            f"{excess.place} {excess.measure}: up to {excess.worst:.1f}, above {excess.rating:g} for {excess.seconds} s"
            for excess in self.realised.measured.excesses
        ]
        if self.uncontrolled.measured.violations == 0:
            found.append("uncontrolled charging exceeds no limit: the scenario proves nothing")
        return tuple(found)

    @property
    def is_good(self) -> bool:
        """Every profile in force was verified, no limit was exceeded, and uncontrolled charging did exceed one."""
        return not self.failures


def count_deliveries(plans: Iterable[Json]) -> DeliveryCount:
    """From every plan of the day with its deliveries, as the API gives them."""
    sent = verified = 0
    unverified = []
    for plan in plans:
        for delivery in plan["deliveries"]:
            if delivery["state"] not in ON_ITS_WAY:
                continue
            is_new = delivery["detail"] != UNCHANGED
            is_verified = delivery["state"] in PROVEN
            sent += is_new
            verified += is_new and is_verified
            if not is_verified:
                unverified.append(
                    f"{delivery['charging_station_id']}/{delivery['evse_id']} at {delivery['at']}: "
                    f"{delivery['state']} ({delivery['detail']})"
                )
    return DeliveryCount(sent, verified, tuple(unverified))


class PlannedCost:
    """What the plans in force said the site would pay: quarter by quarter, by the plan that held at its end."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._prices = scenario.import_price_per_kwh()
        self._cost: dict[int, float] = {}

    def note(self, quarter: int, plan: Mapping[str, Any]) -> None:
        """Take the plan in force near the end of a quarter of the day (0 is the first)."""
        slot_minutes = plan["problem"]["slot_minutes"]
        moment = self._scenario.start + timedelta(minutes=15 * quarter)
        slot = int((moment - datetime.fromisoformat(plan["problem"]["start"])) / timedelta(minutes=slot_minutes))
        schedule = plan["schedule"]
        if 0 <= slot < len(schedule["import_kw"]):
            export_price = self._scenario.site.tariff.export_price_per_kwh
            import_kw, export_kw = schedule["import_kw"][slot], schedule["export_kw"][slot]
            self._cost[quarter] = (self._prices[quarter] * import_kw - export_price * export_kw) / 4

    @property
    def total(self) -> float:
        """EUR. Quarters without a plan count nothing: there are none once the service has made its first."""
        return sum(self._cost.values())
