"""The environment of a run: the agent's settings, variables, the network.

Within the agent's container the agent is the first process, and the chart gives it its settings as flags:
so they are read from there (proc(5), ``/proc/PID/cmdline``), and a command that ``kubectl exec`` starts
probes what the agent uses.
"""

import os
import socket
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sidecar.commands.arguments import Parser
from sidecar.commands.clients import settings_of
from sidecar.config import load, misspelt_variables
from sidecar.core.addresses import IPAddress
from sidecar.doctor.evidence import Environment
from sidecar.errors import UsageError
from sidecar.settings import Settings

_PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_FIRST_PROCESS = Path("/proc/1/cmdline")
_CLUSTER_VARIABLE = "KUBERNETES_SERVICE_HOST"
_SETTLING = 10.0
"""How many write splays it takes at most until the Node has what the agent knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectedEnvironment:
    """Where ``doctor`` runs."""

    settings: Settings
    """Those of the agent that runs here, as far as they can be known."""
    from_agent: bool
    """Whether they are really those of a running agent."""
    environment: Environment
    in_pod: bool
    notes: Sequence[str] = ()
    """What could not be read, and why."""


def detect_environment(parsed: Namespace, *, first_process: Path = _FIRST_PROCESS) -> DetectedEnvironment:
    """Detect where this runs, and with which settings.

    Args:
        parsed: The command's arguments.
        first_process: The file with the first process's arguments.

    Raises:
        UsageError: an argument or a variable is wrong.
    """
    settings, notes, words = None, [], [""]
    if not parsed.upstream and not parsed.node:
        try:
            words = first_process.read_bytes().decode(errors="surrogateescape").rstrip("\0").split("\0")
        except OSError:
            words = [""]
    if "run" in words and any(Path(word).name in {"azure-lb-metadata", "sidecar"} for word in words[:4]):
        parser = Parser("run", description="")
        parser.add_argument("--once", action="store_true")
        try:
            settings = load(words[words.index("run") + 1 :], parser=parser).settings
        except UsageError as error:
            notes.append(f"the settings of the agent here could not be read: {error}")
    from_agent = settings is not None
    settings = settings or settings_of(parsed)
    in_pod = _CLUSTER_VARIABLE in os.environ

    proxies = {}
    for name in (*_PROXY_VARIABLES, *map(str.lower, _PROXY_VARIABLES)):
        if value := os.environ.get(name):
            # Scheme, host and port alone: what stands before them may be a password.
            scheme, separator, rest = value.rpartition("://")
            proxies[name] = f"{scheme}{separator}{rest.rpartition('@')[2].partition('/')[0]}"
    default, version = (Settings.model_fields[name].default for name in ("imds_endpoint", "imds_api_version"))
    environment = Environment(
        endpoint=settings.imds_endpoint,
        default_endpoint=settings.imds_endpoint.removesuffix(":80") == default,
        timeout=settings.imds_timeout,
        api_version="" if settings.imds_api_version == version else settings.imds_api_version,
        settle=_SETTLING * settings.write_splay,
        node_name=settings.node_name,
        upstream="" if settings.upstream == "imds" else settings.upstream,
        host_network=_in_host_network(settings.node_address) if in_pod else True,
        proxies=proxies,
        misspelt=misspelt_variables(os.environ),
        seen_from=parsed.seen_from,
        declared=settings.egress_declared,
    )
    return DetectedEnvironment(
        settings=settings, from_agent=from_agent, environment=environment, in_pod=in_pod, notes=notes
    )


def _in_host_network(node_address: IPAddress | None) -> bool | None:
    """Whether this runs in the node's own network; ``None`` if the node's address is not known."""
    if node_address is None:
        return None
    family = socket.AF_INET6 if node_address.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            # An address can be bound to only where it is configured; nothing is sent.
            probe.bind((str(node_address), 0))
        except OSError:
            return False
    return True
