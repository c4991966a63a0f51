"""Programs run to their end, and programs that stay: the latter survive a Ctrl-C and are remembered."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.e2e.harness.layout import ROOT
from tests.support.processes import ServerProcess, poll_until

END_DEADLINE_S = 60.0
COMMAND_DEADLINE_S = 120.0
TAIL_LINES = 60
RECORDS = ROOT / "processes"


class CommandError(Exception):
    """A program ended with another code than 0, or not in time; the text has what it said."""


def run(
    *command: str | Path,
    stdin: str | None = None,
    environment: Mapping[str, str] | None = None,
    deadline_s: float = COMMAND_DEADLINE_S,
) -> str:
    """Run a program and give its standard output; `environment` is added to our own.

    Raises:
        CommandError: it failed, or took longer than `deadline_s` seconds.
    """
    line = " ".join(str(word) for word in command)
    try:
        done = subprocess.run(
            command,
            input=stdin,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=deadline_s,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{line}: not done within {deadline_s:g} s") from error
    if done.returncode:
        said = "\n".join(f"{done.stdout}{done.stderr}".splitlines()[-TAIL_LINES:])
        raise CommandError(f"{line}: exit code {done.returncode}; its last lines:\n{said}")
    return done.stdout


def in_network(namespace: str, *command: str | Path) -> list[str]:
    """The command line that runs `command` in a named network namespace and changes nothing else.

    ``ip netns exec`` would mount /sys anew, without the control groups that kubelet needs.
    """
    return ["nsenter", f"--net=/run/netns/{namespace}", "--", *(str(word) for word in command)]


class Daemon(ServerProcess):
    """A program of the cluster: in a session of its own, so that Ctrl-C reaches only the harness.

    It is recorded by process id and start time, so that a later run can end what a crashed one left.
    """

    def __init__(self, label: str, command: Sequence[str | Path], *, directory: Path = ROOT) -> None:
        """`label` names its log and its record; `directory` is where it runs."""
        super().__init__(
            ["setsid", *(str(word) for word in command)],
            directory=directory,
            log=ROOT / "logs" / f"{label}.log",
        )
        self.label = label

    @property
    def name(self) -> str:
        """The label, for messages."""
        return self.label

    def start(
        self, ready: Callable[[], bool], *, deadline_s: float, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start and record the program, and wait until `ready` says yes.

        Raises:
            StartError: the program ended, or was not ready within `deadline_s` seconds.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)

        def recorded_and_ready() -> bool:
            self._record()
            return ready()

        super().start(recorded_and_ready, deadline_s=deadline_s, environment=environment)

    def end(self) -> None:
        """End the program at once and forget it; may be repeated. What it would save is deleted anyway."""
        self.kill()
        (RECORDS / self.label).unlink(missing_ok=True)

    def _record(self) -> None:
        record = RECORDS / self.label
        if self.pid is not None and not record.exists():
            record.parent.mkdir(parents=True, exist_ok=True)
            record.write_text(f"{self.pid} {start_time(self.pid)}")


def start_time(pid: int) -> str | None:
    """When the process began, in ticks since the machine's start; None when none runs under this id."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = status.rpartition(")")[2].split()  # from field 3 of proc(5) on
    return None if fields[0] in "ZX" else fields[19]


def end_recorded() -> None:
    """End at once every program that is recorded and still the same process.

    Raises:
        CommandError: one of them goes on.
    """
    for record in RECORDS.glob("*"):
        number, _, started = record.read_text().partition(" ")
        end_process(int(number), started)
        record.unlink()


def end_process(pid: int, started: str) -> None:
    """End a process, if it is the one that began then, by SIGKILL: what it would save is deleted anyway.

    Raises:
        CommandError: it goes on.
    """
    if start_time(pid) == started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if not poll_until(lambda: start_time(pid) != started, deadline_s=END_DEADLINE_S):
        raise CommandError(f"process {pid} does not end")
