"""Which cars will not have what their drivers asked for, by the plan that is in force."""

from collections.abc import Collection
from datetime import datetime, timedelta

from app.db.records import Plan
from app.db.store import Store
from app.gather.sessions import wish_of
from app.site import Site

CALM = 0.5  # of the threshold: an alarm that is raised ends when less than this share of it is missing
RECENT = timedelta(hours=48)


async def unready(store: Store, site: Site, plan: Plan, known: Collection[str], now: datetime) -> dict[str, str | None]:
    """By session that lacks too much: in words what, None where no driver asked for it.

    `known` are those of whom an alarm is open; it ends later than it began. A car that is boosted by hand is judged
    when the boost is over: until then its alarm stays as it is.
    """
    boosted = plan.provenance.get("manual", {}).get("boosted_needs_kwh", {})
    sessions = {session["id"]: session for session in plan.problem.get("sessions", ())}
    lacking: dict[str, float] = {}
    for session_id, answer in plan.schedule.get("sessions", {}).items():
        most_kwh = site.alarms.not_ready_kwh * (CALM if session_id in known else 1.0)
        if session_id in boosted:
            if session_id in known:
                lacking[session_id] = answer["unmet_kwh"]
        elif answer["unmet_kwh"] > most_kwh:
            lacking[session_id] = answer["unmet_kwh"]
    if not lacking:
        return {}
    asked = await _asked_for(store, site, now)
    said = {}
    for session_id, unmet_kwh in lacking.items():
        session = sessions[session_id]
        is_wish = session_id.startswith("wish-") or session_id in asked
        said[session_id] = (
            f"{session['evse']} will lack {unmet_kwh:.1f} of {session['required_energy_kwh']:.1f} kWh at "
            f"{session['departure']}"
            if is_wish
            else None
        )
    return said


async def _asked_for(store: Store, site: Site, now: datetime) -> set[str]:
    """Sessions of running transactions whose drivers said what they need."""
    recent = await store.transactions(site_id=site.id, start=now - RECENT, limit=10_000)
    wishes = await store.wishes(site.id, active_at=now - RECENT)
    return {
        f"tx-{row.transaction_id}"
        for row in recent
        if row.stopped_at is None and wish_of(row, wishes, recent) is not None
    }
