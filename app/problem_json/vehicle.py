"""What may be known about a vehicle beyond its need, as JSON: beliefs, taper, energy that it gives back."""

from pydantic import Field

from app.problem_json.fields import CostRate, Edge, Kilowatt, KilowattHour, Moment, Share
from optimizer.domain import Scenario, Taper, VehicleToGrid


class ScenarioIn(Edge):
    """One way that a stay may go."""

    probability: Share = Field(description="0 to 1; those of a session add up to 1")
    departure: Moment = Field(description="with any UTC offset; after the arrival")
    required_energy_kwh: KilowattHour = Field(description="kWh wanted by then from `now`, at the EVSE's meter")

    def to_domain(self) -> Scenario:
        return Scenario(self.probability, self.departure, self.required_energy_kwh)


class TaperIn(Edge):
    """All its power up to `from_soc`, then linearly less, 0 at `zero_at_soc`."""

    from_soc: Share = Field(description="0 to 1, below `zero_at_soc`")
    zero_at_soc: Share = Field(default=1.0, description="0 to 1")

    def to_domain(self) -> Taper:
        return Taper(self.from_soc, self.zero_at_soc)


class VehicleToGridIn(Edge):
    """What the vehicle may give back."""

    max_discharge_kw: Kilowatt = Field(description="kW, on the AC side")
    floor_energy_kwh: KilowattHour = Field(default=0.0, description="kWh that giving leaves in the vehicle's battery")
    wear_price_per_kwh: CostRate = Field(default=0.0, description="currency per kWh given, on the AC side")

    def to_domain(self) -> VehicleToGrid:
        return VehicleToGrid(self.max_discharge_kw, self.floor_energy_kwh, self.wear_price_per_kwh)
