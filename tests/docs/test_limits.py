"""docs/limits.md: what a real cluster is to be asked can be asked, tried on the simulator."""

import re
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.simulator import Simulator, parse_scenario, serve
from tests.docs.consoles import environment, said
from tests.docs.pages import DOCS
from tests.examples.containers import stand_in

BLOCKS = [
    textwrap.dedent(block)
    for block in re.findall(
        r"^ *```sh\n(.*?)^ *```$", (DOCS / "limits.md").read_text(), re.MULTILINE | re.DOTALL
    )
]
(FUNCTION,) = (block for block in BLOCKS if block.startswith("imds() {"))
PROBES = [line for block in BLOCKS for line in block.splitlines() if line.startswith("imds ")]

SERVICE = "169.254.169.254"


@pytest.fixture
async def function() -> AsyncIterator[str]:
    """The page's function, which asks a simulator that keeps to the documented limit."""
    async with serve(Simulator(parse_scenario(""), time=lambda: 0.0)) as serving:
        yield f"NODE=node\n{FUNCTION.replace(f'http://{SERVICE}', serving.url)}"


def statuses(output: str) -> list[int]:
    """The statuses of the answers in what curl printed."""
    return [int(status) for status in re.findall(r"^HTTP/1\.1 (\d+)", output, re.MULTILINE)]


@pytest.mark.parametrize(
    ("probe", "wanted"),
    [
        ("imds 'loadbalancer?api-version=2020-10-01'", [200]),
        ("imds 'loadbalancer?api-version=2025-04-07'", [200]),
        ("imds 'loadbalancer?api-version=2099-01-01'", [400]),
        ("imds loadbalancer", [400]),
        ("imds 'loadbalancer?api-version=2020-10-01' -H 'X-Forwarded-For: 10.0.0.1'", [400]),
    ],
)
async def test_probe(function: str, tmp_path: Path, probe: str, wanted: list[int]) -> None:
    """Each probe asks what the page says."""
    assert statuses(await answered(function, probe, tmp_path)) == wanted


async def answered(function: str, probe: str, directory: Path) -> str:
    """What a probe prints; kubectl stands for running the command where it is."""
    assert probe in PROBES
    variables = environment(directory)
    stand_in(directory / "programs", "kubectl", 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
    script = f"{function}\n{probe}"
    assert SERVICE not in script
    return await said(script, variables)


async def test_above_the_limit(function: str, tmp_path: Path) -> None:
    """The probe of the limit asks ten times, and is told to stop."""
    (probe,) = (probe for probe in PROBES if "format=" in probe)
    told = statuses(await answered(function, probe, tmp_path))
    assert (len(told), told[0], told[-1]) == (10, 200, 429)


def test_every_probe_is_tried() -> None:
    """There is no probe on the page that is not tried here."""
    assert len(set(PROBES)) == 6
