"""Tariffs from files of others: the OpenEI utility rate database (URDB), and acnportal's schedules.

What cannot be said in a site's document is refused or named in a warning, never left out in silence.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import time
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from app.errors import InvalidInputError
from app.tariff import TimeOfUseTariff

WORKDAYS, WEEKEND, ALL_WEEK = (0, 1, 2, 3, 4), (5, 6), (0, 1, 2, 3, 4, 5, 6)
_MASKS = {"WEEKDAYS": WORKDAYS, "WEEKENDS": WEEKEND, "ALL": ALL_WEEK}
_MONTH_ENDS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_HOURS = 24
_LEFT_OUT = ("fixedchargefirstmeter", "mincharge", "coincidentratestructure", "fueladjustmentsmonthly")


@dataclass(frozen=True, slots=True)
class ReadTariff:
    """A tariff, its name in the file, and what of the file it does not hold."""

    tariff: TimeOfUseTariff
    name: str
    warnings: tuple[str, ...] = ()


def read_tariff(file: Path) -> ReadTariff:
    """By its keys URDB or acnportal. Raises `InvalidInputError` for what is neither, `OSError` for no file."""
    try:
        document = json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(str(file), f"is no JSON: {error}") from error
    if isinstance(document, dict) and isinstance(document.get("items"), list) and document["items"]:
        document = document["items"][0]  # URDB's answer to a question for one label
    if not isinstance(document, dict):
        raise InvalidInputError(str(file), f"holds a {type(document).__name__}, not a tariff")
    try:
        if "energyratestructure" in document:
            return _urdb(document)
        if "schedule" in document:
            return _acnportal(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidInputError(str(file), f"gives no tariff: {where}: {first['msg']}") from error
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise InvalidInputError(str(file), f"cannot be read: {type(error).__name__} {error}") from error
    raise InvalidInputError(str(file), "is neither URDB (energyratestructure) nor acnportal (schedule)")


def _acnportal(document: dict[str, Any]) -> ReadTariff:
    """Hours since midnight, with halves; a season of its own for each schedule; a demand charge a month."""
    periods, charges = [], []
    for schedule in document["schedule"]:
        season = {
            "first_day": _month_day(schedule["effective_start"]),
            "last_day": _month_day(schedule["effective_end"]),
            "weekdays": _MASKS[schedule["dow_mask"]],
        }
        pairs = sorted(zip(schedule["times"], schedule["tariffs"], strict=True))
        steps = [{"start": _clock(hours), "price_per_kwh": price} for hours, price in pairs]
        periods.append({"name": str(schedule["id"])} | season | {"steps": steps})
        charges.append((season, float(schedule.get("demand_charge") or 0.0)))
    tariff = {"kind": "time_of_use", "periods": periods, "demand_charges": _seasonal(charges)}
    return ReadTariff(TimeOfUseTariff.model_validate(tariff), str(document.get("name", "")))


def _seasonal(charges: Sequence[tuple[dict[str, Any], float]]) -> list[dict[str, Any]]:
    """One charge where all seasons say the same, else one for each season, over all its days."""
    prices = {price for _, price in charges}
    if len(prices) == 1:
        price = prices.pop()
        return [] if price == 0 else [{"id": "month", "price_per_kw": price}]
    by_season: dict[tuple[str, str], set[float]] = {}
    for season, price in charges:
        by_season.setdefault((season["first_day"], season["last_day"]), set()).add(price)
    result = []
    for (first, last), said in by_season.items():
        if len(said) > 1:
            raise ValueError(f"the demand charges {sorted(said)} from {first} to {last} differ by weekday")
        [price] = said
        if price:
            result.append({"id": f"from-{first}", "price_per_kw": price, "first_day": first, "last_day": last})
    return result


def _urdb(document: dict[str, Any]) -> ReadTariff:
    """Period numbers by month and local hour; a price is rate + adj, of tiers the marginal one by a month's kWh."""
    warnings: list[str] = []
    structure = document["energyratestructure"]
    periods = [
        {"name": name} | season | {"steps": _steps(hours, structure)}
        for name, season, hours in _days(document["energyweekdayschedule"], document["energyweekendschedule"])
    ]
    used = {
        number for key in ("energyweekdayschedule", "energyweekendschedule") for row in document[key] for number in row
    }
    tiers = _tiers([structure[number] for number in sorted(used)])
    charges = []
    if document.get("flatdemandstructure"):
        months = document.get("flatdemandmonths") or [0] * 12
        for number, rates in enumerate(document["flatdemandstructure"]):
            if (price := _one_price(rates, "flatdemandstructure", warnings)) == 0:
                continue
            for first, last in _runs([month == number for month in months]):
                charges.append({"id": f"flat-{first + 1:02}", "price_per_kw": price} | _months(first, last))
    if document.get("demandratestructure"):
        for name, season, hours in _days(document["demandweekdayschedule"], document["demandweekendschedule"]):
            for number, rates in enumerate(document["demandratestructure"]):
                if (price := _one_price(rates, "demandratestructure", warnings)) == 0:
                    continue
                for first, last in _runs([hour == number for hour in hours]):
                    window = {"start": _clock(first), "end": _clock((last + 1) % _HOURS)}
                    charges.append({"id": f"{name}-{first:02}", "price_per_kw": price} | season | window)
    warnings += [f"{name} is not in a plan's prices" for name in _LEFT_OUT if document.get(name)]
    if document.get("demandratchetpercentage"):
        warnings += ["demandratchetpercentage is not taken over: set ratchet_share by hand"]
    tariff = {"kind": "time_of_use", "periods": periods, "demand_charges": charges, "tiers": tiers}
    name = f"{document.get('utility', '')} {document.get('name', '')}".strip()
    return ReadTariff(TimeOfUseTariff.model_validate(tariff), name, tuple(dict.fromkeys(warnings)))


def _days(
    workdays: Sequence[Sequence[int]], weekends: Sequence[Sequence[int]]
) -> Iterable[tuple[str, dict[str, Any], Sequence[int]]]:
    """Name, season and the 24 period numbers of each run of months that are alike, for workdays and for weekends."""
    for label, weekdays, schedule in (("workday", WORKDAYS, workdays), ("weekend", WEEKEND, weekends)):
        if len(schedule) != 12 or any(len(row) != _HOURS for row in schedule):
            raise ValueError("a schedule has not 12 months of 24 hours")
        first = 0
        for month in range(1, 13):
            if month == 12 or schedule[month] != schedule[first]:
                yield f"{label}-{first + 1:02}", _months(first, month - 1) | {"weekdays": weekdays}, schedule[first]
                first = month


def _steps(hours: Sequence[int], structure: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    changes = [hour for hour in range(_HOURS) if hour == 0 or hours[hour] != hours[hour - 1]]
    return [{"start": _clock(hour), "price_per_kwh": _price(structure[hours[hour]][0])} for hour in changes]


def _tiers(structures: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """What a kWh costs more from each threshold on; it has to be the same in all periods, or it cannot be said."""
    said = set()
    for rates in structures:
        edges = [float(rate["max"]) for rate in rates[:-1]]
        if any(str(rate.get("unit", "kWh")) != "kWh" for rate in rates if rate.get("max")):
            raise ValueError("tiers are not by kWh a month")
        adds = [round(_price(rate) - _price(rates[0]), 9) for rate in rates[1:]]
        said.add(tuple(zip(edges, adds, strict=True)))
    if len(said) > 1:
        raise ValueError("tiers differ from period to period")
    return [{"above_kwh": above, "add_per_kwh": add} for above, add in (said.pop() if said else ())]


def _price(rate: dict[str, Any]) -> float:
    return round(float(rate["rate"]) + float(rate.get("adj") or 0.0), 9)


def _one_price(rates: Sequence[dict[str, Any]], where: str, warnings: list[str]) -> float:
    if len(rates) > 1:
        warnings.append(f"{where} has tiers by kW: the highest price counts for all of it")
    return max(float(rate.get("rate") or 0.0) + float(rate.get("adj") or 0.0) for rate in rates)


def _runs(on: Sequence[bool]) -> list[tuple[int, int]]:
    """First and last of each run of True."""
    starts = [n for n, here in enumerate(on) if here and (n == 0 or not on[n - 1])]
    ends = [n for n, here in enumerate(on) if here and (n == len(on) - 1 or not on[n + 1])]
    return list(zip(starts, ends, strict=True))


def _months(first: int, last: int) -> dict[str, str]:
    return {"first_day": f"{first + 1:02}-01", "last_day": f"{last + 1:02}-{_MONTH_ENDS[last]}"}


def _month_day(text: str) -> str:
    month, day = text.split("-")
    return f"{int(month):02}-{int(day):02}"


def _clock(hours: float) -> time:
    minutes = round(hours * 60)
    return time(minutes // 60 % _HOURS, minutes % 60)
