"""Solves on a Dask cluster: for more sites than one machine plans in a night.

A task reaches its worker as a pickle, and a pickle is a program: whoever can speak to the scheduler can run anything on
every worker. So a scheduler that others can reach is spoken to with TLS and certificates on both sides, or not at all.
A worker that dies costs nothing: the scheduler gives what it had to another.
"""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

from app.errors import AppError, InvalidInputError
from app.planning.executor import SolverDiedError

P = ParamSpec("P")
T = TypeVar("T")

CONNECT_TIMEOUT_S = 20.0
SETTING = "SMARTCHARGE_DASK_SCHEDULER"


@dataclass(frozen=True, slots=True)
class DaskAddress:
    """Where the scheduler is, and what proves who it is and who we are."""

    scheduler: str
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    insecure: bool = False

    def __post_init__(self) -> None:
        """Raises `InvalidInputError` for an address that anybody could listen to, unless that is wanted."""
        url = urlsplit(self.scheduler)
        if url.scheme not in ("tcp", "tls") or not url.hostname:
            raise InvalidInputError(SETTING, f"{self.scheduler!r} is neither tcp://HOST:PORT nor tls://HOST:PORT")
        if url.scheme == "tls":
            missing = [name for name in ("ca", "certificate", "key") if getattr(self, name) is None]
            if missing:
                names = ", ".join(f"SMARTCHARGE_DASK_TLS_{name.upper()}" for name in missing)
                raise InvalidInputError(SETTING, f"{self.scheduler!r} needs {names}")
        elif not _is_loopback(url.hostname) and not self.insecure:
            raise InvalidInputError(
                SETTING,
                f"{self.scheduler!r} is plain TCP beyond this machine: whoever reaches it can run any program on every "
                "worker. Use tls://, or say SMARTCHARGE_DASK_INSECURE=true where the network is yours alone",
            )


class DaskExecutor(Executor):
    """The standard Executor on a cluster. Raises `AppError` when the scheduler does not answer."""

    def __init__(self, address: DaskAddress) -> None:
        try:
            from distributed import Client, Security
        except ImportError as missing:
            raise AppError("the extra `dask` is not installed: pip install 'smartcharge[dask]'") from missing
        security = None
        if address.scheduler.startswith("tls://"):
            security = Security(
                tls_ca_file=str(address.ca),
                tls_client_cert=str(address.certificate),
                tls_client_key=str(address.key),
                require_encryption=True,
            )
        try:
            self._client: Any = Client(
                address.scheduler, security=security, timeout=CONNECT_TIMEOUT_S, set_as_default=False
            )
        except (OSError, TimeoutError) as error:
            raise AppError(f"the Dask scheduler {address.scheduler} does not answer: {error}") from error
        self._executor: Executor = self._client.get_executor(pure=False)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        answer: Future[T] = Future()
        answer.set_running_or_notify_cancel()
        self._executor.submit(fn, *args, **kwargs).add_done_callback(lambda done: _hand_on(done, answer))
        return answer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """What is not done when the client goes is given up by the scheduler, `cancel_futures` or not."""
        del cancel_futures
        self._executor.shutdown(wait=wait)
        self._client.close()


def _hand_on(done: Future[T], answer: Future[T]) -> None:
    if done.cancelled():
        answer.set_exception(AppError("the Dask cluster gave the work up"))
        return
    failure = done.exception()
    if failure is None:
        answer.set_result(done.result())
    elif type(failure).__name__ == "KilledWorker":  # by name: the package need not be here to know it
        died = SolverDiedError(f"the workers that worked on it died: {failure}")
        died.__cause__ = failure
        answer.set_exception(died)
    else:
        answer.set_exception(failure)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
