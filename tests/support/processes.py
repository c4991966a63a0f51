"""Servers the tests start as processes of their own: begun, paused and ended by process id."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

POLL_INTERVAL_S = 0.05
END_DEADLINE_S = 10.0
LOG_TAIL_LINES = 40


class StartError(Exception):
    """A server did not become ready; the text ends with the tail of its log."""


def poll_until(ready: Callable[[], bool], *, deadline_s: float, interval_s: float = POLL_INTERVAL_S) -> bool:
    """Ask `ready` every 50 ms, or so often, until it says yes; False if not within `deadline_s` seconds."""
    deadline = time.monotonic() + deadline_s
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval_s)
    return True


class ReservedPort:
    """A free TCP port of 127.0.0.1 that stays ours, whether a server listens on it or not.

    The socket is bound and never listens, so that without a server connections are refused; the
    server shares the port by ``SO_REUSEPORT``. So no other process can take the port between the
    choice and the start, or while the server is down.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]

    def release(self) -> None:
        """Give the port back."""
        self._socket.close()


class ServerProcess:
    """One program that runs until it is ended, writing what it says to a log file."""

    def __init__(self, command: Sequence[str], *, directory: Path, log: Path) -> None:
        """`directory` is where the program runs, `log` takes both its output streams."""
        self.command = list(command)
        self.directory = directory
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """The program's name, for messages."""
        return Path(self.command[0]).name

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(
        self, ready: Callable[[], bool], *, deadline_s: float, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start the program and wait until `ready` says yes.

        Raises:
            StartError: the program ended, or was not ready within `deadline_s` seconds. It is gone then.
        """
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        with ExitStack() as undo:
            undo.callback(self.end)  # an interrupt, too, must leave no process behind
            self._await(ready, deadline_s=deadline_s)
            undo.pop_all()

    def end(self) -> None:
        """End the program by SIGTERM, or by SIGKILL when it has not ended after 10 s; may be repeated."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(END_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the program by SIGKILL, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """Stop the program where it is: connections to it stay open and get no answer."""
        self._signal(signal.SIGSTOP)
        if self.pid is not None:
            # The signal returns at once; this does when the last thread has stopped.
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Let a paused program go on."""
        self._signal(signal.SIGCONT)

    def log_tail(self) -> str:
        """The last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])

    def _await(self, ready: Callable[[], bool], *, deadline_s: float) -> None:
        settled = poll_until(lambda: self.pid is None or ready(), deadline_s=deadline_s)
        if self._process is not None and self._process.poll() is not None:
            code = self._process.returncode
            raise StartError(f"{self.name} ended with {code} before it was ready\n{self.log_tail()}")
        if not settled:
            raise StartError(f"{self.name} was not ready within {deadline_s:g} s\n{self.log_tail()}")

    def _signal(self, number: signal.Signals) -> None:
        pid = self.pid
        if pid is None:
            raise RuntimeError(f"{self.name} does not run")
        os.kill(pid, number)
