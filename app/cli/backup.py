"""`smartcharge backup` and `smartcharge restore`: thin commands."""

from pathlib import Path
from typing import Annotated

import typer

from app.imports.cli import console


def backup_command(
    file: Annotated[Path, typer.Argument(help="A new file, which only you may read: it holds password hashes.")],
) -> None:
    """Copy the whole database while the service runs. The copy is checked before it gets its name."""
    from app.db.backup import backup
    from app.settings import Settings

    size = backup(Settings().resolved_database_url, file)
    console.print(f"{file}: {size:,} bytes, whole.", highlight=False)


def restore_command(
    file: Annotated[Path, typer.Argument(help="What `backup` has written.")],
) -> None:
    """Make the database of a copy, where there is none yet. Stop the service first, and start it afterwards."""
    from app.db.backup import restore
    from app.settings import Settings

    restore(Settings().resolved_database_url, file)
    console.print("The database is restored.", highlight=False)
