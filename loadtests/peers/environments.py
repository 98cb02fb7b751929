"""An environment for each peer, since their requirements contradict each other and ours: `.venv-bench/<peer>`."""

import subprocess
import sys
from pathlib import Path

from loadtests.local.servers import ROOT

ENVIRONMENTS = ROOT / ".venv-bench"
INSTALL_S = 900


class NotInstalled(Exception):
    """The peer cannot be had here; the text is the reason."""


def install(key: str, requirements: Path) -> None:
    """Make the environment if it is not there with these very requirements; a failure is kept for `find`."""
    folder, wanted = ENVIRONMENTS / key, requirements.read_text()
    installed, failed = folder / "installed.txt", folder / "failed.txt"
    if installed.exists() and installed.read_text() == wanted:
        return
    folder.mkdir(parents=True, exist_ok=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    try:
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([*pip, "-r", str(requirements)])
    except NotInstalled as error:
        failed.write_text(str(error))
    else:
        failed.unlink(missing_ok=True)
        installed.write_text(wanted)


def find(key: str, requirements: Path) -> Path:
    """The environment's folder.

    Raises:
        NotInstalled: it is not there with these requirements.
    """
    folder = ENVIRONMENTS / key
    installed, failed = folder / "installed.txt", folder / "failed.txt"
    if installed.exists() and installed.read_text() == requirements.read_text():
        return folder
    raise NotInstalled(failed.read_text() if failed.exists() else "never installed")


def version(folder: Path, package: str) -> str:
    """Of a package installed there."""
    script = "import sys, importlib.metadata; print(importlib.metadata.version(sys.argv[1]))"
    return _run([str(folder / "bin" / "python"), "-c", script, package]).strip()


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_S)
    except subprocess.TimeoutExpired as error:
        raise NotInstalled(f"not done after {INSTALL_S} s") from error
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise NotInstalled(" ".join(errors) or done.stderr.strip()[-300:])
    return done.stdout
