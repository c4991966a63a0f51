"""Servers of the tests start, show why they did not, and end."""

import socket
import sys
from pathlib import Path

import pytest

from tests.support.processes import ReservedPort, ServerProcess, StartError, poll_until

SERVE = "import signal; print('ready', flush=True); signal.pause()"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SERVE}"


def python(code: str, directory: Path) -> ServerProcess:
    """A server that is a line of Python."""
    return ServerProcess([sys.executable, "-c", code], directory=directory, log=directory / "log")


def start(process: ServerProcess) -> int:
    """Start the process, wait for the word ready in its log, and give its id."""
    process.start(lambda: "ready" in process.log.read_text(), deadline_s=120)
    assert process.pid is not None
    return process.pid


@pytest.mark.parametrize("code", [SERVE, STUBBORN], ids=["willing", "stubborn"])
def test_ended_process_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """A process is gone after its end, even a paused one, and one that ignores SIGTERM."""
    monkeypatch.setattr("tests.support.processes.END_DEADLINE_S", 0.2)
    process = python(code, tmp_path)
    pid = start(process)
    process.pause()
    process.end()
    process.end()
    assert process.pid is None
    assert not Path(f"/proc/{pid}").exists()


def test_process_that_ends_early_shows_its_log(tmp_path: Path) -> None:
    """A server that ends instead of becoming ready is reported with what it said."""
    with pytest.raises(StartError, match=r"(?s)ended with 3 before it was ready.*out of luck"):
        python("print('out of luck'); raise SystemExit(3)", tmp_path).start(lambda: False, deadline_s=120)


def test_process_that_never_is_ready_is_ended(tmp_path: Path) -> None:
    """A server that is not ready in time is reported with what it said, and ended."""
    process = python(SERVE, tmp_path)
    with pytest.raises(StartError, match=r"not ready within 0\.5 s"):
        process.start(lambda: False, deadline_s=0.5)
    assert process.pid is None


def test_pausing_a_process_that_does_not_run_is_an_error(tmp_path: Path) -> None:
    """What does not run cannot be paused: a test that tries has lost its server."""
    with pytest.raises(RuntimeError, match="does not run"):
        python(SERVE, tmp_path).pause()


def test_reserved_port_refuses_and_is_not_given_away() -> None:
    """On a reserved port connections are refused, and only a server that shares it can listen."""
    port = ReservedPort()
    with socket.socket() as client, pytest.raises(ConnectionRefusedError):
        client.connect(("127.0.0.1", port.number))
    with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
        stranger.bind(("127.0.0.1", port.number))
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind(("127.0.0.1", port.number))
        server.listen()
        socket.create_connection(("127.0.0.1", port.number), timeout=60).close()
    port.release()


def test_polling_ends_at_its_deadline() -> None:
    """Polling says yes as soon as the question does, and no after the deadline."""
    answers = iter([False, True])
    assert poll_until(lambda: next(answers), deadline_s=120)
    assert not poll_until(lambda: False, deadline_s=0.1)
