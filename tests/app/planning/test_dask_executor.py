"""A Dask cluster is a place to run programs: nobody is to reach it by accident."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from app.errors import AppError, InvalidInputError
from app.main import solving_executor
from app.planning.dask_executor import DaskAddress, DaskExecutor
from app.settings import Settings

PEM = Path("x.pem")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:8786", "tcp://[::1]:8786", "tcp://localhost:8786"])
def test_a_scheduler_on_this_machine_may_be_plain(address: str) -> None:
    assert DaskAddress(address).scheduler == address


@pytest.mark.parametrize("address", ["tcp://10.0.0.7:8786", "tcp://scheduler:8786", "tcp://0.0.0.0:8786"])
def test_plain_tcp_beyond_this_machine_is_refused_unless_it_is_wanted(address: str) -> None:
    with pytest.raises(InvalidInputError, match="SMARTCHARGE_DASK_INSECURE=true"):
        DaskAddress(address)

    assert DaskAddress(address, insecure=True).scheduler == address


def test_tls_needs_certificates_on_both_sides() -> None:
    with pytest.raises(InvalidInputError, match="SMARTCHARGE_DASK_TLS_CERTIFICATE, SMARTCHARGE_DASK_TLS_KEY"):
        DaskAddress("tls://scheduler:8786", ca=PEM)

    assert DaskAddress("tls://scheduler:8786", ca=PEM, certificate=PEM, key=PEM).ca == PEM


@pytest.mark.parametrize("address", ["8786", "http://127.0.0.1:8786", "tcp://"])
def test_anything_else_is_no_address(address: str) -> None:
    with pytest.raises(InvalidInputError, match="neither tcp://HOST:PORT nor tls://HOST:PORT"):
        DaskAddress(address, insecure=True)


def test_the_service_wants_to_know_where_its_cluster_is() -> None:
    with pytest.raises(InvalidInputError, match="SMARTCHARGE_DASK_SCHEDULER: is not set"):
        solving_executor(Settings(solve_workers="dask"))


@pytest.mark.skipif(find_spec("distributed") is not None, reason="the extra `dask` is installed")
def test_without_the_extra_it_says_what_to_install() -> None:
    with pytest.raises(AppError, match=r"smartcharge\[dask\]"):
        DaskExecutor(DaskAddress("tcp://127.0.0.1:1"))


@pytest.mark.skipif(find_spec("distributed") is None, reason="the extra `dask` is not installed")
def test_a_night_on_dask_gives_the_same_plans_with_one_worker_killed(tmp_path: Path) -> None:
    program = Path(__file__).parents[3] / "benchmarks" / "night_run.py"

    done = subprocess.run(
        [sys.executable, program, "12", "--dask"], capture_output=True, text=True, timeout=300, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "12 of 12 plans are the same" in done.stdout
