"""The databases of the store's own tests."""

from tests.app.db.conftest import (
    database_url,
    migrated_database,
    postgres_server,
    postgres_url,
    sqlite_file,
)

__all__ = ["database_url", "migrated_database", "postgres_server", "postgres_url", "sqlite_file"]
