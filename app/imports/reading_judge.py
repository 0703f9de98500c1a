"""Whether the readings of a site meter can be true: against what the connection carries, and against standing still."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from app.db.records import Reading, Suspect
from app.errors import InvalidInputError
from app.plausibility import ABOVE_CONNECTION, METER_STUCK, suspect
from app.site import MeterDocument, Site

MAX_FACTOR = 2.0  # of what the connection, or all PV, carries: beyond it no overload of a fuse lasts a slot
WRONG_SHARE = 0.5  # of a batch: then it is not the values that are wrong, it is the unit
TINY = 1 / 1_000
STUCK_FOR = timedelta(hours=24)
MAX_SUSPECTS = 10_000


@dataclass(slots=True)
class ReadingJudge:
    """Takes readings in batches, in the order of the file."""

    site: Site
    meter: MeterDocument
    file: str
    suspects: list[Suspect] = field(default_factory=list)
    _highest_kw: float = 0.0
    _stands: tuple[float, datetime] | None = None  # the value, and since when it is the same

    def believed(self, readings: Sequence[Reading], unit: str) -> list[Reading]:
        """Those that may be stored. Raises `InvalidInputError` when most are more than can be."""
        most_kw = self.most_kw
        above = [] if most_kw is None else [row for row in readings if abs(row.kw) > MAX_FACTOR * most_kw]
        if len(above) > WRONG_SHARE * len(readings):
            highest_kw = max(abs(row.kw) for row in above)
            raise InvalidInputError(
                "unit",
                f"{unit!r}: {len(above)} of {len(readings)} values are more than {MAX_FACTOR:g} times the "
                f"{most_kw:g} kW that meter {self.meter.id!r} can see, up to {highest_kw:,.0f} kW",
            )
        for row in above:
            self._note(ABOVE_CONNECTION, f"{row.kw:g} kW where {most_kw:g} kW is the most", row.at)
        refused = set(above)
        kept = [row for row in readings if row not in refused]
        for row in kept:
            self._highest_kw = max(self._highest_kw, abs(row.kw))
            self._watch(row)
        return kept

    def warnings(self, unit: str) -> list[str]:
        """What looks odd about the file as a whole."""
        most_kw = self.most_kw
        if most_kw is not None and 0 < self._highest_kw < TINY * most_kw:
            return [f"the highest value is {self._highest_kw:g} kW where {most_kw:g} kW can be: is {unit} the unit?"]
        return []

    @property
    def most_kw(self) -> float | None:
        """What the meter can see at most; None: nobody knows."""
        if self.meter.measures == "pv":
            return sum(array.peak_kw for array in self.site.pv_arrays) or None
        connection = self.site.connection
        limits = [limit for limit in (connection.max_import_kw,) if limit]
        if connection.max_current_a:
            limits.append(3 * connection.max_current_a * connection.voltage_v / 1000)
        return min(limits, default=None)

    def _watch(self, row: Reading) -> None:
        if self._stands is None or row.kw != self._stands[0] or row.at < self._stands[1]:
            self._stands = (row.kw, row.at)
            return
        value, since = self._stands
        if value != 0 and row.at - since >= STUCK_FOR:
            self._note(METER_STUCK, f"{value:g} kW without a change for {STUCK_FOR / timedelta(hours=1):g} h", since)
            self._stands = (value, row.at)

    def _note(self, reason: str, detail: str, at: datetime) -> None:
        if len(self.suspects) < MAX_SUSPECTS:
            found = suspect(self.site.id, reason, detail, at=at, source=self.file, meter_id=self.meter.id)
            self.suspects.append(found)
