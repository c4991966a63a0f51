"""``azure-lb-metadata simulate`` as a process."""

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sidecar import cli
from sidecar.simulator import DOCUMENTS, FAULTS
from tests.support.waiting import DEADLINE_S

CHECKOUT = Path(__file__).resolve().parents[2]
FREE = ("--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0")


@contextmanager
def _running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """The command with both URLs it printed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sidecar", "simulate", *arguments],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout
        try:
            lines = [process.stdout.readline().split()[-1] for _ in range(2)]
            yield process, lines[0], lines[1]
        finally:
            process.kill()


def _get(url: str) -> bytes:
    request = urllib.request.Request(url, headers={"Metadata": "true"})  # noqa: S310 -- http of this test
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:  # noqa: S310 -- http of this test
        body: bytes = response.read()
    return body


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serves_until_a_signal(number: signal.Signals) -> None:
    """The command prints where it listens, serves there, and ends with 0 on a signal."""
    with _running(*FREE, "--document", "capture-535") as (process, url, control):
        body = _get(f"{url}?api-version=2020-10-01")
        state = json.loads(_get(f"{control}state"))
        process.send_signal(number)
        code = process.wait(20)

    assert b"100.100.100.100" in body
    assert state["document"] == {"name": "capture-535"}
    assert code == 0


def test_arguments_go_over_the_scenario(tmp_path: Path) -> None:
    """Document, fault and limit of the command line replace those of the file, its steps stay."""
    path = tmp_path / "scenario.yaml"
    path.write_text("{document: none, fault: gone, steps: [{at: 1h, fault: gone}]}")
    arguments = ("--scenario", str(path), "--document", "empty", "--fault", "none", "--no-rate-limit")

    with _running(*FREE, *arguments) as (_, _, control):
        state = json.loads(_get(f"{control}state"))

    assert state["document"] == {"name": "empty"}
    assert state["fault"] is None
    assert state["rateLimit"] is False
    assert state["scenario"]["nextStepIn"] > 0


def test_taken_port() -> None:
    """A taken port is one line on standard error and the exit code 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "sidecar", "simulate", *FREE[2:], "--listen", f"127.0.0.1:{port}"],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    errors = [line for line in ended.stderr.splitlines() if line.startswith("azure-lb-metadata")]
    assert ended.returncode == 1
    assert len(errors) == 1
    assert f"cannot listen: error while attempting to bind on address ('127.0.0.1', {port})" in errors[0]
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [("document: al", "document.name: there is no document 'al'"), ("steps: {", "line 1, column 9")],
)
def test_wrong_scenario(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str) -> None:
    """A wrong scenario is one line with the file and the place, and the exit code 2."""
    path = tmp_path / "scenario.yaml"
    path.write_text(text)

    code = cli.run(["simulate", "--scenario", str(path)])

    printed = capsys.readouterr().err
    assert code == 2
    assert printed.startswith(f"azure-lb-metadata simulate: {path}: {said}")
    assert printed.count("\n") == 1


def test_missing_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    """A missing scenario file is reported."""
    assert cli.run(["simulate", "--scenario", "nowhere.yaml"]) == 2
    assert "nowhere.yaml: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--document", "al"],
        ["--fault", "al"],
        ["--listen", "16980"],
        ["--listen", "127.0.0.1:x"],
        ["--listen", "127.0.0.1:65536"],
        ["--listen", "::1:80"],
        ["--unknown"],
    ],
)
def test_wrong_arguments(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """Wrong arguments bring the exit code 2 and the name of the argument."""
    assert cli.run(["simulate", *arguments]) == 2
    assert arguments[0] in capsys.readouterr().err


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    """Documents and faults are listed with one line each, in text and as JSON."""
    assert cli.run(["simulate", "--list"]) == 0
    text = capsys.readouterr().out
    assert cli.run(["simulate", "--list", "-o", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)

    assert set(listed["documents"]) == set(DOCUMENTS)
    assert set(listed["faults"]) == {"none", *FAULTS}
    assert len(text.splitlines()) == len(DOCUMENTS) + len(FAULTS) + 3


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Help shows the defaults, which are loopback, and ends with 0."""
    assert cli.run(["simulate", "--help"]) == 0
    printed = capsys.readouterr().out
    assert "127.0.0.1:16980" in printed
    assert "127.0.0.1:16981" in printed
