"""Keeps the fail-safe certificates of a site: each one that says something new, with its proof and its assumptions."""

from collections.abc import Awaitable, Callable

from app.db.store import Store
from app.dispatch.certificate import Certificate, certificate_to_json
from app.site import Site


class Notary:
    """Asks for a certificate and stores it when it is not what was stored last."""

    def __init__(self, store: Store, certify: Callable[[Site], Awaitable[Certificate]]) -> None:
        self._store = store
        self._certify = certify
        self._kept: dict[str, object] = {}  # by site: what the last one said

    async def attest(self, site: Site) -> bool:
        """Whether something new was kept. Raises `StoreUnavailableError`."""
        certificate = await self._certify(site)
        said = _said(certificate)
        if self._kept.get(site.id) == said:
            return False
        await self._store.save_certificate(site.id, certificate.made_at, certificate_to_json(certificate))
        self._kept[site.id] = said
        return True


def _said(certificate: Certificate) -> object:
    """Without the moments, which move with every look."""
    fuses = [
        (fuse.circuit_id, fuse.phase, fuse.rating, fuse.base, fuse.charging, fuse.holds_from == certificate.made_at)
        for fuse in certificate.fuses
    ]
    return fuses, certificate.fallback_a, certificate.unlimited, certificate.isolated, certificate.assumptions
