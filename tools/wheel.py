"""The wheel as a user gets it: built, installed beside nothing of the checkout, and run.

The suite ``wheel`` of `tools.suites`; by hand ``python -m tools.wheel``. The wheel is built from
the source distribution, so a file missing there shows here.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sidecar import __version__

CHECKOUT = Path(__file__).resolve().parents[1]
INSTALL_DEADLINE_S = 600.0
COMMAND_DEADLINE_S = 120.0
COMMAND = "azure-lb-metadata"


class WheelError(Exception):
    """A step failed; the text says which, and what it said."""


def step(*command: str | Path, directory: Path, deadline_s: float = INSTALL_DEADLINE_S) -> str:
    """Run one command without the checkout on Python's path and give its standard output.

    Raises:
        WheelError: it ended with another code than 0, or not within `deadline_s` seconds.
    """
    words = [str(word) for word in command]
    text = " ".join([Path(words[0]).name, *words[1:]])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    started = time.monotonic()
    try:
        done = subprocess.run(
            words,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=deadline_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise WheelError(f"{text}\n  did not end within {deadline_s:g} s") from error
    if done.returncode:
        raise WheelError(f"{text}\n  ended with {done.returncode}:\n{done.stdout}")
    print(f"  {time.monotonic() - started:5.1f} s  {text}", flush=True)
    return done.stdout


def build_wheel(directory: Path) -> Path:
    """Build the source distribution, and from it the wheel, into `directory`."""
    build = (sys.executable, "-m", "build", "--no-isolation", "--outdir")
    step(*build, directory, CHECKOUT, directory=directory)
    (wheel,) = directory.glob("*.whl")
    return wheel


def install(wheel: Path, *, directory: Path) -> Path:
    """Install the wheel and the pinned requirements into a new environment; give its folder of programs."""
    step(sys.executable, "-m", "venv", directory / "venv", directory=directory)
    programs = directory / "venv" / "bin"

    def pip(*arguments: str | Path) -> None:
        options = ("--quiet", "--disable-pip-version-check")
        step(programs / "python", "-m", "pip", *options, *arguments, directory=directory)

    requirements = CHECKOUT / "requirements" / "runtime.txt"
    pip("install", "--require-hashes", "--requirement", requirements)
    pip("install", "--no-deps", wheel)
    pip("check")
    return programs


def check_program(programs: Path, *, directory: Path) -> None:
    """Make sure that the installed command works and comes from the wheel.

    Raises:
        WheelError: it does not.
    """

    def ask(*arguments: str) -> str:
        return step(programs / COMMAND, *arguments, directory=directory, deadline_s=COMMAND_DEADLINE_S)

    where = step(programs / "python", "-c", "import sidecar; print(sidecar.__file__)", directory=directory)
    origin = Path(where.strip())
    if not origin.is_relative_to(directory):
        raise WheelError(f"sidecar was imported from {origin}, not from the wheel")
    if not (origin.parent / "py.typed").exists():
        raise WheelError("the wheel lacks py.typed")
    if COMMAND not in ask("--help"):
        raise WheelError(f"--help does not name {COMMAND}")
    if __version__ not in ask("--version"):
        raise WheelError(f"--version does not say {__version__}")
    if not ask("simulate", "--list").strip():
        raise WheelError("simulate --list lists nothing")


def main() -> int:
    """Build, install and run; the exit code is 1 when a step failed."""
    with tempfile.TemporaryDirectory(prefix=f"{COMMAND}-wheel-") as folder:
        directory = Path(folder).resolve()
        try:
            programs = install(build_wheel(directory), directory=directory)
            check_program(programs, directory=directory)
        except WheelError as error:
            print(f"wheel: {error}", file=sys.stderr)
            return 1
    print("wheel: 1 passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
