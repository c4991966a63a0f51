"""Command lines of `run` and what they come to, and the contract's table of settings."""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from sidecar.commands.arguments import Parser
from sidecar.config import Loaded, load
from sidecar.core.listen import parse_listen
from sidecar.core.probes import parse_probe
from sidecar.errors import ExitCode, UsageError

DIRECT = ("--no-annotations",)
"""What makes every other flag optional."""


def read(*arguments: str) -> Loaded:
    """Read a command line of `run`."""
    return load(arguments, parser=Parser("run", description="Run."))


def refusal(*arguments: str) -> str:
    """What is said of a wrong command line."""
    with pytest.raises(UsageError) as caught:
        read(*arguments)
    assert caught.value.exit_code is ExitCode.USAGE
    return str(caught.value)


@dataclass(frozen=True)
class Setting:
    """One row of the contract's table, with a value other than the default."""

    field: str
    default: Any
    text: str
    value: Any
    shown_default: str

    @property
    def flag(self) -> str:
        """The flag's name."""
        return f"--{self.field.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """The variable's name."""
        return f"AZURE_LB_METADATA_{self.field.upper()}"

    def __str__(self) -> str:
        return self.field


SETTINGS = [
    Setting("upstream", "imds", "http://agent:80", "http://agent:80", "imds"),
    Setting(
        "imds_endpoint",
        "http://169.254.169.254",
        "http://[::1]:80/",
        "http://[::1]:80",
        "http://169.254.169.254",
    ),
    Setting("imds_api_version", "2020-10-01", "2023-07-01", "2023-07-01", "2020-10-01"),
    Setting("poll_interval", 60.0, "1m30s", 90.0, "10s"),
    Setting("imds_timeout", 5.0, "250ms", 0.25, "5s"),
    Setting("stale_after", 300.0, "1h", 3600.0, "5m"),
    Setting("absent_after", 300.0, "10m", 600.0, "5m"),
    Setting("listen", parse_listen("127.0.0.1:16925"), "none", None, "127.0.0.1:16925"),
    Setting(
        "admin_listen",
        parse_listen("127.0.0.1:16926"),
        "unix:/run/a",
        parse_listen("unix:/run/a"),
        "127.0.0.1:16926",
    ),
    Setting("max_clients", 1024, "7", 7, "1024"),
    Setting("max_header_size", 8192, "1024", 1024, "8192"),
    Setting("idle_timeout", 75.0, "2m", 120.0, "1m15s"),
    Setting("allow_from", (), "10.0.0.0/8, fd00::/8", (ip_network("10.0.0.0/8"), ip_network("fd00::/8")), ""),
    Setting("node_name", None, "aks-pool1-vmss000000", "aks-pool1-vmss000000", ""),
    Setting("kubeconfig", None, "/etc/kubeconfig", Path("/etc/kubeconfig"), ""),
    Setting("context", None, "aks", "aks", ""),
    Setting("annotate", "full", "summary", "summary", "full"),
    Setting(
        "annotation_prefix",
        "azure-lb-metadata.io",
        "lb.example.com",
        "lb.example.com",
        "azure-lb-metadata.io",
    ),
    Setting(
        "previous_annotation_prefixes",
        (),
        "a.example.com, b.example.com",
        ("a.example.com", "b.example.com"),
        "",
    ),
    Setting("annotation_budget", 8192, "2048", 2048, "8192"),
    Setting("node_address", None, "10.224.0.4", ip_address("10.224.0.4"), ""),
    Setting("write_splay", 30.0, "1s", 1.0, "30s"),
    Setting("resync_interval", 900.0, "1h", 3600.0, "15m"),
    Setting("heartbeat_interval", 3600.0, "0", 0.0, "1h"),
    Setting("events_fault_after", 900.0, "1h", 3600.0, "15m"),
    Setting(
        "egress_declared",
        (),
        "2603:1030::/124, 20.1.2.0/30",
        (ip_network("20.1.2.0/30"), ip_network("2603:1030::/124")),
        "",
    ),
    Setting(
        "egress_probe",
        (),
        "stun:stun.example.org, https://[2001:db8::1]/ip",
        (parse_probe("stun:stun.example.org:3478"), parse_probe("https://[2001:db8::1]:443/ip")),
        "",
    ),
    Setting("egress_probe_interval", 600.0, "1m", 60.0, "10m"),
    Setting("egress_probe_flows", 5, "1", 1, "5"),
    Setting("egress_probe_keep", 86400.0, "1h", 3600.0, "24h"),
    Setting("egress_probe_ca", None, "/etc/ca.pem", Path("/etc/ca.pem"), ""),
    Setting("file", None, "/run/lb.json", Path("/run/lb.json"), ""),
    Setting("log_format", None, "TEXT", "text", ""),
    Setting("log_level", "info", "Debug", "debug", "info"),
]
"""Every setting that takes a value; defaults are those of a direct sidecar."""

SWITCHES = ("annotations", "allow_forwarded", "metrics_addresses", "events")
