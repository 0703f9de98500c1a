"""A station's passport with where each value comes from.

From what counts least to what counts most: the default, what the station says, the quirk file, a probe, what its
answers have taught, the operator's override. What a probe or an answer taught holds for the firmware it was taught by.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Literal

from pydantic import ValidationError

from app.csms.connector import Passport
from app.csms.corrections import Corrections
from app.csms.quirks import quirks_of
from app.csms.timestamps import read_timestamp
from app.csms.v16_passport import SAID_BY, stored_passport
from app.db.records import Json, Station
from app.site import ChargingStationDocument

LEARNED = "learned"  # beside the passport in the store
PROBE = "probe"
LEARNED_FOR = timedelta(days=1)  # then the better form is tried again: a station may have been busy

Source = Literal["default", "station", "quirk", "probe", "learned", "override"]


@dataclass(frozen=True, slots=True)
class Origin:
    """`detail`: the key, the quirk's source, or when it was found out."""

    source: Source
    detail: str | None = None


DEFAULT = Origin("default")


@dataclass(frozen=True, slots=True)
class KnownPassport:
    """`origins` by the names of `Passport`'s fields."""

    passport: Passport
    origins: Mapping[str, Origin]

    def as_json(self) -> dict[str, Json]:
        """By field: its value, its source, and what the source is in particular."""
        return {
            name: {"value": _plain(getattr(self.passport, name)), "source": origin.source, "detail": origin.detail}
            for name, origin in self.origins.items()
        }


def known_passport(station: Station, document: ChargingStationDocument | None, now: datetime) -> KnownPassport:
    """From what the store keeps of the station; `document` is the site's word on it."""
    read = stored_passport(station.passport, booted_at=None)
    origins = dict.fromkeys(Corrections.model_fields, DEFAULT)
    passport = Passport() if read is None else read
    raw = {key.lower(): key for key in passport.raw}
    for name, keys in SAID_BY.items():
        said = next((raw[key.lower()] for key in keys if key.lower() in raw), None)
        if said is not None:
            origins[name] = Origin("station", said)
    for origin, corrections in _layers(station, document, now):
        passport = corrections.applied_to(passport)
        origins |= dict.fromkeys(corrections.named, origin)
    return KnownPassport(replace(passport, known=passport.known or document_names(document)), origins)


def override_of(document: ChargingStationDocument | None) -> Corrections:
    """`max_profile_periods` is the older word for `profile.max_periods`, which wins."""
    if document is None:
        return Corrections()
    return Corrections(max_periods=document.max_profile_periods).joined(document.profile)


def document_names(document: ChargingStationDocument | None) -> bool:
    """Whether an operator has said how long a profile may be: it need not be read to be known."""
    return override_of(document).max_periods is not None


def found_out(stored: Mapping[str, Any], part: str, firmware: str | None) -> tuple[Corrections, str] | None:
    """What a probe or a station's answers taught, and when; None where another firmware taught it."""
    entry = stored.get(part)
    if not isinstance(entry, dict) or entry.get("firmware") != firmware:
        return None
    try:
        return Corrections.model_validate(entry["settings"]), str(entry["at"])
    except (KeyError, ValidationError):  # written by another version
        return None


def _layers(
    station: Station, document: ChargingStationDocument | None, now: datetime
) -> list[tuple[Origin, Corrections]]:
    layers = [
        (Origin("quirk", quirk.source), quirk.settings)
        for quirk in quirks_of(station.vendor, station.model, station.firmware)
    ]
    if (probed := found_out(station.passport, PROBE, station.firmware)) is not None:
        layers.append((Origin("probe", probed[1]), probed[0]))
    if (learned := found_out(station.passport, LEARNED, station.firmware)) is not None:
        learned_at, _ = read_timestamp(learned[1])
        if learned_at is not None and now < learned_at + LEARNED_FOR:
            layers.append((Origin("learned", learned[1]), learned[0]))
    layers.append((Origin("override"), override_of(document)))
    return layers


def _plain(value: Any) -> Any:
    if isinstance(value, frozenset):
        return sorted(_plain(one) for one in value)
    return value.value if isinstance(value, Enum) else value
