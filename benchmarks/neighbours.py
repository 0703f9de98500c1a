"""Other people's optimisers, each in an environment of its own under `build/peers`; none is a dependency of ours.

`make bench-peers` makes the environments. A peer's script prints one JSON object as its last line.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parent / "build" / "peers"
PACKAGES = {  # each in its own, so that none holds back what another depends on
    "linopy": ("linopy==0.10.1", "highspy==1.15.1"),
    "emhass": ("emhass==0.18.7", "highspy==1.15.1"),
    "flexmeasures": ("flexmeasures==1.0.1", "highspy==1.15.1"),
}
TIME_LIMIT_S = 240.0


class PeerError(Exception):
    """A peer that is not installed, failed, or took too long; the text says which and why."""


def python_of(peer: str) -> Path:
    return ENVIRONMENTS / peer / "bin" / "python"


def run(peer: str, script: str, *given: str, time_limit_s: float = TIME_LIMIT_S) -> dict[str, Any]:
    """What `peers/SCRIPT` says about the files it is given. Raises `PeerError`."""
    if not python_of(peer).exists():
        raise PeerError(f"{peer} is not installed: make bench-peers")
    command = [str(python_of(peer)), "-W", "ignore", str(HERE / "peers" / script), *given]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=time_limit_s, check=False)
    except subprocess.TimeoutExpired as late:
        raise PeerError(f"{peer} took more than {time_limit_s:.0f} s") from late
    if done.returncode:
        raise PeerError(f"{peer}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'no message'}")
    said: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return said


def install(peer: str) -> None:
    """Make the peer's environment with the Python that runs this, unless it is there."""
    stamp = ENVIRONMENTS / peer / ".installed"
    wanted = "\n".join(PACKAGES[peer])
    if stamp.exists() and stamp.read_text() == wanted:
        print(f"{peer:14} is there")
        return
    print(f"{peer:14} installing {' '.join(PACKAGES[peer])} (a minute or two) ...", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENTS / peer)], check=True)
    pip = [str(python_of(peer)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, *PACKAGES[peer]], capture_output=True, text=True, check=False)
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["no message"]
        print(f"{peer:14} could not be installed: {last[-1]}")
        return
    stamp.write_text(wanted)


if __name__ == "__main__":
    for one in sys.argv[1:] or PACKAGES:
        install(one)
