"""The environment of a run: the agent's settings, variables, the network.

Within the agent's container the agent is the first process, and the chart gives it its settings as flags:
so they are taken from there (proc(5), ``/proc/PID/cmdline``), and a command that ``kubectl exec`` starts
looks where the agent looks.
"""

import os
import socket
from argparse import Namespace
from collections.abc import Mapping, Sequence
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
    surroundings: Environment
    in_pod: bool
    notes: Sequence[str] = ()


def detect_environment(parsed: Namespace, *, first_process: Path = _FIRST_PROCESS) -> DetectedEnvironment:
    """Find out where this runs.

    Args:
        parsed: The command's arguments.
        first_process: Where the first process tells its arguments.

    Raises:
        UsageError: an argument or a variable is wrong.
    """
    settings, notes = None, []
    arguments = None if parsed.upstream or parsed.node else _agent_arguments(first_process)
    if arguments is not None:
        try:
            settings = _settings_of_agent(arguments)
        except UsageError as error:
            notes.append(f"the settings of the agent here could not be read: {error}")
    from_agent = settings is not None
    settings = settings or settings_of(parsed)
    in_pod = _CLUSTER_VARIABLE in os.environ
    return DetectedEnvironment(
        settings=settings,
        from_agent=from_agent,
        surroundings=_surroundings(settings, seen_from=parsed.seen_from, in_pod=in_pod),
        in_pod=in_pod,
        notes=notes,
    )


def _agent_arguments(first_process: Path) -> list[str] | None:
    """The flags of the agent that is the first process here; ``None`` if that is something else."""
    try:
        words = first_process.read_bytes().decode(errors="surrogateescape").rstrip("\0").split("\0")
    except OSError:
        return None
    ours = any(Path(word).name in {"azure-lb-metadata", "sidecar"} for word in words[:4])
    return words[words.index("run") + 1 :] if ours and "run" in words else None


def _settings_of_agent(arguments: Sequence[str]) -> Settings:
    parser = Parser("run", description="")
    parser.add_argument("--once", action="store_true")
    return load(arguments, parser=parser).settings


def _surroundings(settings: Settings, *, seen_from: Sequence[IPAddress], in_pod: bool) -> Environment:
    default, version = (Settings.model_fields[name].default for name in ("imds_endpoint", "imds_api_version"))
    return Environment(
        endpoint=settings.imds_endpoint,
        default_endpoint=settings.imds_endpoint.removesuffix(":80") == default,
        timeout=settings.imds_timeout,
        api_version="" if settings.imds_api_version == version else settings.imds_api_version,
        settle=_SETTLING * settings.write_splay,
        node_name=settings.node_name,
        upstream="" if settings.upstream == "imds" else settings.upstream,
        host_network=_in_host_network(settings.node_address) if in_pod else True,
        proxies=_proxies(os.environ),
        misspelt=misspelt_variables(os.environ),
        seen_from=seen_from,
    )


def _in_host_network(node_address: IPAddress | None) -> bool | None:
    """Whether the node's own address is one of ours; ``None`` if it is not known."""
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


def _proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that name a proxy, with scheme, host and port of it alone."""
    found = {}
    for name in (*_PROXY_VARIABLES, *map(str.lower, _PROXY_VARIABLES)):
        if value := environ.get(name):
            found[name] = _without_credentials(value)
    return found


def _without_credentials(url: str) -> str:
    scheme, separator, rest = url.rpartition("://")
    place = rest.rpartition("@")[2].partition("/")[0]
    return f"{scheme}{separator}{place}"
