"""Rows of a file that could not be read as they are, for the quarantine of their site."""

from app.db.records import Suspect
from app.imports.rows import Skipped
from app.plausibility import reason_of, suspect


def unread(site_id: str, file: str, skipped: Skipped) -> list[Suspect]:
    """One for each row that was kept; the same file again makes the same ones."""
    return [
        suspect(site_id, reason_of(reason), f"{reason}: {text}", source=f"{file}, {where}")
        for where, reason, text in skipped.kept
    ]
