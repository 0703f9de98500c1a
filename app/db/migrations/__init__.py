"""The schema's history. `migrate` brings a database to `HEAD`, in one transaction, or leaves it as it was.

For a new revision change `app/db/tables.py`, write `versions/NNNN_what.py` and set `HEAD`; a test asks alembic whether
revisions and tables agree on both databases.
"""

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, text

from app.crash_points import crash_point
from app.errors import StoreUnavailableError

HEAD = "0008"
FOLDER = Path(__file__).parent
ADVISORY_LOCK = 0x5C4A26E1  # a number of our own: two services that start at once migrate in turn


def revision_of(connection: Connection) -> str | None:
    """The revision a database is at; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def require_head(connection: Connection) -> None:
    """Raise `StoreUnavailableError` unless the database is at `HEAD`."""
    revision = revision_of(connection)
    if revision != HEAD:
        raise StoreUnavailableError(
            f"the database is at revision {revision or 'none'}, this version needs {HEAD}: run `smartcharge migrate`"
        )


def migrate(connection: Connection) -> None:
    """Bring the database to `HEAD` within the caller's transaction.

    A revision that this version does not know comes from a newer one: it is refused with `StoreUnavailableError`,
    for going back could lose what the newer version wrote.
    """
    if connection.dialect.name == "postgresql":  # on SQLite the transaction is already the only writer
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})
    revision = revision_of(connection)
    if revision == HEAD:
        return

    from alembic import command  # 0.3 s, and only needed when there is something to do
    from alembic.script import ScriptDirectory

    config = alembic_config(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise StoreUnavailableError(
            f"the database is at revision {revision}, which this version (at {HEAD}) does not know. It was written by"
            " a newer smartcharge: install that one, or restore a backup from before its first start"
        )
    command.upgrade(config, HEAD)
    crash_point("migration.before_commit")


def alembic_config(connection: Connection | None = None) -> Any:
    """Alembic's configuration without an ini file, so that an installed package finds its own scripts."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
