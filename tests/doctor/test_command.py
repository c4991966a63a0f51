"""`doctor` as a program: its text, its arguments, and where it takes the agent's settings from."""

import asyncio
import json
import os
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from sidecar.doctor.environment import DetectedEnvironment, detect_environment
from sidecar.simulator import Serving
from tests.doctor.test_bundle import files_in
from tests.support.commands import run_here
from tests.support.program import CHECKOUT, clean_environment

ARGUMENTS = Namespace(direct=False, upstream=None, node=None, seen_from=[])

REPORT = """\
1 known cause applies

1. throttled (certain): The machine asks the metadata service more often than it answers.
   found:   3 of 3 tries: HTTP 429: Too many requests, Retry-After 5 s
"""


@pytest.mark.usefixtures("host")
class TestReport:
    """What people read."""

    async def test_text(self, service: Serving, capsys: pytest.CaptureFixture[str]) -> None:
        """The first cause comes first, with what shows it, the remedy and where to read on."""
        service.simulator.set_fault("throttled-seconds")

        code, out, err = await run_here(capsys, "doctor", "--direct")

        assert (code, err) == (1, "")
        assert out.startswith(REPORT)
        assert "\n   remedy:  The limit of 5 requests a second is shared" in out
        assert "\n   see:     docs/doctor.md#throttled\n" in out
        assert f"\nlooked at: the metadata service, {service.url} (0 of 3 tries answered)\n" in out
        assert max(map(len, out.splitlines())) <= 110

    async def test_healthy(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Without a cause it says so."""
        code, out, _ = await run_here(capsys, "doctor", "--direct")

        assert code == 0
        assert out.startswith("healthy, no known cause applies\n")

    async def test_json_twice(self, capsys: pytest.CaptureFixture[str]) -> None:
        """`--json` and `-o json` are the same."""
        _, one, _ = await run_here(capsys, "doctor", "--direct", "--json")
        _, other, _ = await run_here(capsys, "doctor", "--direct", "-o", "json")

        reports = [json.loads(one), json.loads(other)]
        for report in reports:
            assert abs(report.pop("clockAheadSeconds")["the metadata service"]) <= 1
        assert reports[0] == reports[1]
        assert reports[0]["causes"] == []


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--direct", "--node", "aks-1"], "--direct, --node and --upstream exclude each other"),
        (["--ignore", "bad-luck"], "there is no cause 'bad-luck'"),
        (["--node", "Not A Node"], "cannot be the name of a Node"),
        (["--seen-from", "here"], "'here' does not appear to be an IPv4 or IPv6 address"),
        (["--seen-from", "::ffff:20.1.2.3"], "neither zones nor IPv4-mapped addresses"),
        (["--tries", "0"], "'0' is not a number from 1 to 10"),
        (["--tries", "²"], "is not a number from 1 to 10"),
        (["--annotation-prefix", "kubernetes.io"], "reserved"),
        (["--node", "aks-1"], "there is no kubeconfig /nonexistent/kubeconfig"),
    ],
)
async def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    """Wrong arguments are told in one line, with the exit code of wrong usage; nobody is asked."""
    code, out, err = await run_here(capsys, "doctor", *arguments)

    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.usefixtures("host")
async def test_unwritable(capsys: pytest.CaptureFixture[str]) -> None:
    """A bundle that cannot be written is an error after the report, with advice."""
    code, out, err = await run_here(capsys, "doctor", "--direct", "--bundle", "/nonexistent/bundle.tar.gz")

    assert code == 1
    assert out.startswith("healthy")
    assert "No such file or directory" in err
    assert "- for standard output" in err


async def test_bundle_to_output(service: Serving) -> None:
    """`--bundle -` leaves standard output to the bundle, so that `kubectl exec` can bring it home."""
    environment = {**clean_environment(), "AZURE_LB_METADATA_IMDS_ENDPOINT": service.url}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sidecar", "doctor", "--direct", "--tries", "1", "--bundle", "-"),
        cwd=CHECKOUT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()

    assert process.returncode == 0
    assert err.decode().startswith("healthy")
    assert files_in(out)["report.txt"].decode() == err.decode()


class TestSettings:
    """In its container the agent is the first process, whose flags tell where to look."""

    def look(self, tmp_path: Path, *words: str) -> DetectedEnvironment:
        """Look around where the first process is this one."""
        process = tmp_path / "cmdline"
        process.write_bytes(b"".join(word.encode() + b"\0" for word in words))
        return detect_environment(ARGUMENTS, first_process=process)

    @pytest.mark.usefixtures("host")
    def test_of_the_agent(self, tmp_path: Path) -> None:
        """Flags of the agent come before variables; its node's name is one of the latter."""
        os.environ["NODE_NAME"] = "aks-1"
        try:
            place = self.look(
                tmp_path,
                *(
                    "/venv/bin/python",
                    "/venv/bin/azure-lb-metadata",
                    "run",
                    "--listen=:7000",
                    "--imds-timeout=3s",
                ),
            )
        finally:
            del os.environ["NODE_NAME"]

        assert place.from_agent
        assert place.settings.annotations
        assert (str(place.settings.listen), place.environment.timeout) == (":7000", 3.0)
        assert place.environment.node_name == "aks-1"

    @pytest.mark.usefixtures("host")
    @pytest.mark.parametrize("words", [("/sbin/init",), ("/bin/sh", "-c", "run"), ()])
    def test_of_somebody_else(self, tmp_path: Path, words: tuple[str, ...]) -> None:
        """Another first process says nothing."""
        assert not self.look(tmp_path, *words).from_agent

    @pytest.mark.usefixtures("host")
    def test_unreadable(self, tmp_path: Path) -> None:
        """Flags that this version does not know are a note."""
        place = self.look(tmp_path, "azure-lb-metadata", "run", "--of-the-future")

        assert not place.from_agent
        assert "the settings of the agent here could not be read" in place.notes[0]
