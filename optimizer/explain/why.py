"""One sentence for each EVSE and slot: what it does, and the two prices that decide it."""

from collections.abc import Sequence

from optimizer.explain.reasons import Binding

SAME_PRICE = 5e-5  # currency per kWh: closer prices are the same to a reader
POWER_NOISE_KW = 1e-3
ROUNDED = "the minimum current and the steps of its charger"


def why(
    *,
    power_kw: float,
    max_power_kw: float,
    energy_price: float,
    price: float,
    worth: float,
    binding: Sequence[Binding],
    at_site: Sequence[Binding],
    currency: str,
) -> str:
    """`at_site` are the limits of the whole site that are part of `energy_price` in this slot."""
    cost = _cost(energy_price, price, binding, at_site, currency)
    gain = worth - price
    if power_kw < -POWER_NOISE_KW:
        return f"gives {-power_kw:.3f} kW: {cost}, its last kWh {worth:.4f}"
    if power_kw <= POWER_NOISE_KW:
        return _rests(cost, gain, worth)
    held_by = f", held back by {' and '.join(map(_place, binding))}" if binding else ""
    charges = f"charges {power_kw:.3f} kW"
    if gain < -SAME_PRICE:
        return f"{charges} although {cost}, {-gain:.4f} more than its last kWh at {worth:.4f}: {ROUNDED}"
    if gain <= SAME_PRICE:
        return f"{charges}{held_by}: {cost}, the price of its last kWh"
    if power_kw < max_power_kw - POWER_NOISE_KW:
        return f"{charges} of {max_power_kw:.3f}: {cost}, {gain:.4f} less than its last kWh at {worth:.4f}: {ROUNDED}"
    return f"{charges}, all that EVSE and vehicle take: {cost}, {gain:.4f} less than its last kWh at {worth:.4f}"


def _rests(cost: str, gain: float, worth: float) -> str:
    if gain < -SAME_PRICE:
        return f"does not charge: {cost}, {-gain:.4f} more than its last kWh at {worth:.4f}"
    if gain > SAME_PRICE:
        return f"does not charge although {cost}, {gain:.4f} less than its last kWh at {worth:.4f}: {ROUNDED}"
    return f"does not charge: {cost}, no less than its last kWh"


def _cost(
    energy_price: float, price: float, binding: Sequence[Binding], at_site: Sequence[Binding], currency: str
) -> str:
    parts = [f"{one.shadow_price_per_kwh:.4f} for {one.rule} at {one.where}" for one in at_site]
    energy = f" ({', '.join(parts)} included)" if parts else ""
    if not binding:
        return f"a kWh costs {price:.4f} {currency}{energy}"
    displaced = " and ".join(f"{one.shadow_price_per_kwh:.4f} for {_place(one)}" for one in binding)
    return f"a kWh costs {price:.4f} {currency}, {energy_price:.4f} for energy{energy} and {displaced}"


def _place(binding: Binding) -> str:
    return f"{binding.rule} at {' '.join(filter(None, (binding.where, binding.phase)))}"
