"""Forgetting drivers and old rows, by command, with a line in the log: what was done, never whose tag it was."""

import secrets
from datetime import datetime

import structlog

from app.db.store import Store

log = structlog.get_logger()

FORGOTTEN = "forgotten-"
Counts = dict[str, int]


async def forget_driver(store: Store, id_tag: str) -> tuple[str, Counts]:
    """Put a random name in the place of an id tag, everywhere; the name and how many rows of each table had the tag.

    Sums stay right, and nobody can tell any more whose they were. Raises `ConflictError` while the driver charges.
    """
    pseudonym = _a_pseudonym()
    counts = await store.forget_id_tag(id_tag, pseudonym)
    log.info("driver forgotten", pseudonym=pseudonym, **counts)
    return pseudonym, counts


async def keep_no_longer(
    store: Store,
    *,
    site_id: str | None = None,
    samples_before: datetime | None = None,
    id_tags_before: datetime | None = None,
    plans_before: datetime | None = None,
    history_before: datetime | None = None,
    quarantine_before: datetime | None = None,
) -> Counts:
    """Drop what is older than each moment, None: nothing; how many rows of each table. CDRs stay, without names."""
    counts: Counts = {}
    if samples_before is not None:
        counts |= await store.drop_samples(samples_before, site_id)
    if plans_before is not None:
        counts |= await store.drop_plans(plans_before, site_id)
        counts |= await store.drop_runs(plans_before, site_id)
    if history_before is not None:
        counts |= await store.drop_site_history(history_before, site_id)
        counts["actuator_commands"] = await store.drop_actuator_commands(history_before, site_id)
    if quarantine_before is not None:
        counts |= await store.drop_suspects(quarantine_before, site_id)
    if id_tags_before is not None:
        named = [tag for tag in await store.id_tags_before(id_tags_before, site_id) if not tag.startswith(FORGOTTEN)]
        for id_tag in named:
            await store.blur_id_tag(id_tag, _a_pseudonym(), id_tags_before, site_id)
        counts["id_tags"] = len(named)
    befores = {
        "samples": samples_before,
        "id_tags": id_tags_before,
        "plans": plans_before,
        "history": history_before,
        "quarantine": quarantine_before,
    }
    said = {f"{name}_before": at.isoformat() for name, at in befores.items() if at is not None}
    log.info("kept no longer", site=site_id or "all", **said, dropped=counts)
    return counts


def _a_pseudonym() -> str:
    return FORGOTTEN + secrets.token_hex(5)
