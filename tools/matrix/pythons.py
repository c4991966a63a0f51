"""The Pythons that are installed here, and an environment with the pinned requirements for each."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.harness.system import run
from tools.wheel import CHECKOUT

MINORS = ("3.11", "3.12", "3.13", "3.14")
INSTALL_DEADLINE_S = 900.0
_VERSION = "import platform; print(platform.python_version())"


def interpreter(minor: str) -> tuple[Path, str] | None:
    """A Python of that minor version, on PATH or of pyenv, and its whole version; None when none runs."""
    for path in _candidates(minor):
        try:
            told = subprocess.run(
                [path, "-c", _VERSION], capture_output=True, text=True, check=False, timeout=30
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        version = told.stdout.strip()
        if told.returncode == 0 and version.startswith(f"{minor}."):
            return path, version
    return None


def _candidates(minor: str) -> Iterator[Path]:
    if found := shutil.which(f"python{minor}"):
        yield Path(found)
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted((root / "versions").glob(f"{minor}.*/bin/python"), reverse=True)


def environment(python: Path, version: str) -> Path:
    """An environment with the pinned requirements and the checkout in it, and its Python's path.

    It is made anew when it is not of that version; the requirements are installed each time.

    Raises:
        CommandError: a requirement cannot be installed.
    """
    folder = CHECKOUT / ".build" / "matrix" / f"python-{version}"
    own = folder / "bin" / "python"
    if not own.exists():
        run(python, "-m", "venv", "--clear", folder, deadline_s=INSTALL_DEADLINE_S)
    pip = (own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    for names in (("pip",), ("build", "runtime", "dev")):  # first the pip that resolves the rest
        lists = [f"--requirement={CHECKOUT / 'requirements' / name}.txt" for name in names]
        run(*pip, "--require-hashes", *lists, deadline_s=INSTALL_DEADLINE_S)
    run(*pip, "--no-deps", "--no-build-isolation", f"--editable={CHECKOUT}", deadline_s=INSTALL_DEADLINE_S)
    return own
