"""Certificates are kept when they say something new."""

from datetime import UTC, datetime, timedelta

from app.clock import SteppedClock
from app.csms.steps import Steps
from app.dispatch.certificate import Certificate, certify
from app.dispatch.fuses import fuses_of
from app.dispatch.notary import Notary
from app.site import Site
from tests.app.dispatch.test_fail_safe import a_site
from tests.stores import a_store

START = datetime(2026, 3, 2, 8, tzinfo=UTC)


async def test_what_is_proven_is_kept_once_for_each_time_it_changes() -> None:
    site, now, drawn_a = a_site(2), START, 6.0

    async def certified(of: Site) -> Certificate:
        fuses = fuses_of(of, 10.0)
        curves = {key: Steps((now,), (drawn_a,), now + timedelta(hours=1)) for key in fuses.evses}
        return certify(
            of.id,
            fuses,
            curves,
            fallback_a=dict.fromkeys(fuses.evses, drawn_a),
            isolated=(),
            max_base_load_kw=10.0,
            base_source="configured",
            now=now,
        )

    async with a_store(SteppedClock(START)) as store:
        notary = Notary(store, certified)
        assert await notary.attest(site)
        now += timedelta(minutes=1)
        assert not await notary.attest(site)
        drawn_a = 20.0
        assert await notary.attest(site)

        kept = await store.certificates(site.id)

    assert [one["holds"] for one in kept] == [False, True]
    assert kept[0]["made_at"] == (START + timedelta(minutes=1)).isoformat()
    assert kept[0]["fuses"][0]["margin"] == 32 - 40
    assert kept[1]["fallback_a"] == {"cs1/1": 6.0, "cs2/1": 6.0}
