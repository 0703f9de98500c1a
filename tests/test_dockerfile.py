"""No engine is at hand to build the image: its paths and its commands are tried instead."""

import os
import re
import shlex
import subprocess
import venv
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")


def test_every_path_that_the_image_copies_exists() -> None:
    sources = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in shlex.split(line)[:-1]
    ]

    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_the_image_does_not_run_as_root_and_opens_both_ports() -> None:
    assert re.search(r"^USER smartcharge$", DOCKERFILE, re.MULTILINE)
    assert re.search(r"^EXPOSE 8080 9000$", DOCKERFILE, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK ", DOCKERFILE, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_its_install_and_start_commands_work_in_a_fresh_environment(tmp_path: Path) -> None:
    """Only what the Dockerfile copies is there, only what it installs, and its own start command and health check."""
    source, target = tmp_path / "src", tmp_path / "venv"
    source.mkdir()
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        for name in shlex.split(line)[:-1]:
            subprocess.run(["cp", "-r", str(ROOT / name), str(source)], check=True)
    install = re.search(r"^RUN \S+/bin/pip (install .+)$", DOCKERFILE, re.MULTILINE)
    assert install is not None
    venv.create(target, with_pip=True)
    subprocess.run([str(target / "bin" / "pip"), "-q", *shlex.split(install[1])], cwd=source, check=True)
    start = re.search(r"^CMD (\[.+\])$", DOCKERFILE, re.MULTILINE)
    assert start is not None
    program, *arguments = re.findall(r'"([^"]+)"', start[1])
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "SMARTCHARGE_DATA_DIR": str(tmp_path / "data"),
        "SMARTCHARGE_HTTP_PORT": "0",
        "SMARTCHARGE_OCPP_PORT": "0",
    }

    with subprocess.Popen(
        [str(target / "bin" / program), *arguments],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as service:
        try:
            assert service.stdout is not None
            found = (re.search(r"http://127\.0\.0\.1:\d+", line) for line in service.stdout)
            address = next(match[0] for match in found if match is not None)
            ready = httpx.get(f"{address}/health/ready", timeout=10)
        finally:
            service.terminate()
        status = service.wait(timeout=20)

    assert ready.status_code == 200
    assert status == 0
