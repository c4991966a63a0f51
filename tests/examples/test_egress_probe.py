"""The STUN server of one's own: what its page says of requests and settings."""

import re

import pytest
import yaml

from sidecar.core.probes import Transport, parse_probe
from tests.examples.support import EXAMPLES

FOLDER = EXAMPLES / "egress-probe"
TEXT = (FOLDER / "README.md").read_text()

INTERVAL_S = 600
FIRST_ROUND_S = 10
FAMILIES = 2
FLOWS = 5
"""Of a round in which not all agree, and of the first."""
TRIES = 4
"""Requests of a flow over UDP that gets no answer."""


def figure(value: float) -> str:
    """Two digits, or all that stand before the point."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


@pytest.mark.parametrize("nodes", [50, 500, 5_000])
def test_requests(nodes: int) -> None:
    """The table has what so many nodes send."""
    usual = nodes * FAMILIES / INTERVAL_S
    figures = (
        nodes,
        usual * 86_400,
        usual,
        usual * FLOWS,
        usual * FLOWS * TRIES,
        nodes * FAMILIES * FLOWS / FIRST_ROUND_S,
    )
    row = " | ".join(map(figure, figures))
    assert f"| {row} |" in TEXT.splitlines(), f"the table should have: {row}"


def test_settings() -> None:
    """The flag and the chart's value name the same probe, which the agent takes, on coturn's port."""
    (flag,) = re.findall(r"--egress-probe (\S+)$", TEXT, re.MULTILINE)
    (values,) = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    assert yaml.safe_load(values) == {"egress": {"probes": [flag]}}
    probe = parse_probe(flag)
    assert (probe.transport, probe.port) == (Transport.UDP, 3478)
    assert f"--destination-port-ranges {probe.port}" in TEXT
    assert f"ufw allow {probe.port}\n" in TEXT


def test_files_and_names() -> None:
    """The page installs the files that are there, under the names that the unit has."""
    installed = dict(re.findall(r"^install .*?(\S+) (/etc/\S+)$", TEXT, re.MULTILINE))
    assert installed.keys() == {path.name for path in FOLDER.iterdir()} - {"README.md"}
    unit = (FOLDER / "stun-server.service").read_text().splitlines()
    assert f"ExecStart=/usr/bin/turnserver -c {installed['turnserver.conf']}" in unit
    assert installed["stun-server.service"] == "/etc/systemd/system/stun-server.service"
    assert "systemctl enable --now stun-server\n" in TEXT
