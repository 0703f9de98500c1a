"""Places at which the process ends when it is told to: how tests find out what a crash there leaves behind.

``SMARTCHARGE_CRASH_AT=plan.after_commit smartcharge serve`` ends with status 9 when it first gets there, as a power cut
would: nothing is closed, nothing is written. Without the variable a point costs one comparison with None.
"""

import os
from collections.abc import Mapping

VARIABLE = "SMARTCHARGE_CRASH_AT"
STATUS = 9

# In the order in which a site's day comes by them. "before": all was said to the database but the COMMIT.
POINTS: Mapping[str, str] = {
    "migration.before_commit": "the schema is made, and not committed",
    "migration.after_commit": "the schema is there, and nothing has begun",
    "station.prepared": "a station holds its fallback, and nobody has written so",
    "start_transaction.before_commit": "a transaction of 1.6 has its number, and is not on disk",
    "start_transaction.after_commit": "it is on disk, and its station has no answer",
    "transaction_event.before_commit": "an event of 2.x has made a transaction, and is not on disk",
    "transaction_event.after_commit": "it is on disk, and its station has no answer",
    "meter_values.before_commit": "a batch of samples is written, and not committed",
    "meter_values.after_commit": "the samples are on disk, and their stations have no answer",
    "plan.before_commit": "a plan is written, and not committed",
    "plan.after_commit": "a plan is on disk, and nobody was sent any of it",
    "deliveries.announced": "the store says that profiles are being sent, and none was",
    "wave_1.sent": "who is to lower has been told, and nobody else",
    "wave_2.under_way": "one station has the new plan, and others the old one",
    "wave_2.sent": "every station has the new plan, and the store does not know",
    "deliveries.stored": "what became of each profile is on disk",
    "stop_transaction.before_commit": "a transaction has its end, and it is not on disk",
    "stop_transaction.after_commit": "its end is on disk, and its station has no answer",
    "cdr.before_commit": "a charge detail record is written, and not committed",
    "cdr.after_commit": "a charge detail record is on disk, and nobody was told",
    "certificate.before_commit": "a certificate is written, and not committed",
    "certificate.after_commit": "a certificate is on disk",
    "archive.between_tables": "an archive is read in half",
}

_armed: str | None = None


def arm(environment: Mapping[str, str]) -> None:
    """Heed the variable from now on. Raises `InvalidInputError` for a point that is none: a slip tests nothing."""
    global _armed  # noqa: PLW0603  # one a process, as the process is what it ends
    name = environment.get(VARIABLE) or None
    if name is not None and name not in POINTS:
        from app.errors import InvalidInputError  # `smartcharge --help` does without

        raise InvalidInputError(VARIABLE, f"{name!r} is none of {', '.join(POINTS)}")
    _armed = name


def crash_point(name: str) -> None:
    """Here the process ends, if it is this one that was asked for."""
    if _armed is not None and _armed == name:
        os._exit(STATUS)
