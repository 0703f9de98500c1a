"""Demand charges as the optimizer wants them: month by month, with the peak that is paid for already.

Months and metering intervals follow the site's own clock.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from app import tariff as documents
from app.gather.history import History
from app.gather.prices import active_slots, holidays_of
from app.gather.signals import Signals
from app.months import month_of
from app.site import Site
from forecasts.series import utc_index
from optimizer.domain import DemandCharge, Horizon

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
READ_AGAIN = timedelta(days=1)  # how late a reading may come and still be counted at once
ALL_AGAIN = timedelta(hours=1)  # and when one is counted that came later still, or was corrected


@dataclass(frozen=True, slots=True)
class _Peak:
    """The highest mean import of a month up to `until`; the whole of it was last read at `all_read`."""

    site: Site
    month: datetime
    all_read: datetime
    until: datetime
    kw: float


class DemandCharges:
    """Puts what was already imported beside each of a site's charges."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._ratchets: dict[tuple[str, documents.DemandCharge, datetime], float] = {}
        self._peaks: dict[tuple[str, str], _Peak] = {}

    async def of(self, site: Site, signals: Signals, horizon: Horizon) -> tuple[DemandCharge, ...]:
        """A horizon that reaches into the next month has two of each charge: the next month's peak begins at 0."""
        now = horizon.first_moment
        _, next_month = month_of(now, site.zone)
        charges = []
        for document, active in signals.priced.demand_charges:
            so_far_kw = await self._so_far_kw(site, document, now)
            ratchet_kw = await self._ratchet_kw(site, document, now)
            is_next = [horizon.slot_start(slot) >= next_month for slot in range(horizon.slots)]
            charges.append(
                DemandCharge(
                    charge_id=document.id,
                    price_per_kw=document.price_per_kw,
                    interval_minutes=document.interval_minutes,
                    active=tuple(on and not later for on, later in zip(active, is_next, strict=True)),
                    peak_so_far_kw=max(so_far_kw, ratchet_kw),
                    interval_energy_so_far_kwh=await self._running_kwh(site, document, signals, now)
                    if active[0]
                    else 0,
                )
            )
            in_next = tuple(on and later for on, later in zip(active, is_next, strict=True))
            if any(in_next):
                charges.append(
                    DemandCharge(
                        charge_id=f"{document.id}.{next_month.astimezone(site.zone):%Y-%m}",
                        price_per_kw=document.price_per_kw,
                        interval_minutes=document.interval_minutes,
                        active=in_next,
                        peak_so_far_kw=max(ratchet_kw, document.ratchet_share * so_far_kw),
                    )
                )
        return tuple(charges)

    async def _so_far_kw(self, site: Site, charge: documents.DemandCharge, now: datetime) -> float:
        """Over this month's intervals that have ended and count. Where nothing was measured there is no peak: 0."""
        month, _ = month_of(now, site.zone)
        until = floored(now, charge.interval_minutes, site.zone)
        known = self._peaks.get((site.id, charge.id))
        if known is None or known.site != site or known.month != month or now - known.all_read >= ALL_AGAIN:
            known = _Peak(site, month, now, month, 0.0)
        start = max(month, known.until - READ_AGAIN)
        slots = int((until - start) / timedelta(minutes=charge.interval_minutes))
        peak_kw = known.kw
        if slots > 0:
            peak_kw = max(peak_kw, await self._peak_kw(site, charge, start, until))
        self._peaks[site.id, charge.id] = _Peak(site, month, known.all_read, until, peak_kw)
        return peak_kw

    async def _ratchet_kw(self, site: Site, charge: documents.DemandCharge, now: datetime) -> float:
        """What is paid for anyway, for the peaks of earlier months: from a bill, else from the readings."""
        if charge.ratchet_share == 0:
            return 0.0
        if charge.ratchet_peak_kw is not None:
            return charge.ratchet_share * charge.ratchet_peak_kw
        month, _ = month_of(now, site.zone)
        key = (site.id, charge, month)
        if key not in self._ratchets:
            peak_kw, end = 0.0, month
            for _ in range(charge.ratchet_months):
                start = month_of(end - timedelta(minutes=1), site.zone)[0]
                peak_kw = max(peak_kw, await self._peak_kw(site, charge, start, end))
                end = start
            self._ratchets = {old: kw for old, kw in self._ratchets.items() if old[2] == month} | {key: peak_kw}
        return charge.ratchet_share * self._ratchets[key]

    async def _peak_kw(self, site: Site, charge: documents.DemandCharge, start: datetime, end: datetime) -> float:
        """The highest mean import over the charge's intervals of [start, end) that count; unmeasured: 0."""
        slots = round((end - start) / timedelta(minutes=charge.interval_minutes))
        index = utc_index(start, charge.interval_minutes, slots)
        import_kw = await self._history.net_import(site, index)
        counted_kw = import_kw[active_slots(charge, index, site.time_zone, holidays_of(site))]
        return 0.0 if counted_kw.isna().all() else float(counted_kw.max())

    async def _running_kwh(self, site: Site, charge: documents.DemandCharge, signals: Signals, now: datetime) -> float:
        """What the interval that is running has imported."""
        opened = floored(now, charge.interval_minutes, site.zone)
        if opened == now:
            return 0.0
        return await self._history.imported_kwh(
            site, opened, now, base_kw=signals.base_load_kw[0], pv_kw=signals.pv_kw[0]
        )


def floored(moment: datetime, minutes: int, zone: ZoneInfo) -> datetime:
    """The last full multiple of `minutes` on the local clock at or before `moment` (aware), in UTC.

    An hour begins at half past in India and at a quarter past in Nepal, seen from UTC.
    """
    offset = moment.astimezone(zone).utcoffset() or timedelta(0)
    wall = moment.astimezone(UTC) + offset
    return wall - (wall - EPOCH) % timedelta(minutes=minutes) - offset
