"""Whom a command asks: arguments that several commands share, and where an agent listens."""

from argparse import ArgumentParser, Namespace

from sidecar import clock
from sidecar.commands.arguments import duration
from sidecar.config import load_variables
from sidecar.core.listen import ListenAddress
from sidecar.errors import UsageError
from sidecar.settings import Settings
from sidecar.sources.imds import IMDSSource

__all__ = [
    "add_target_arguments",
    "agent_url",
    "check_target",
    "metadata_service",
    "settings_of",
    "url_of",
]


def add_target_arguments(parser: ArgumentParser, *, timeout: float) -> None:
    """Add ``--upstream``, ``--direct`` and ``--timeout``, which is so many seconds if not given."""
    parser.add_argument("--upstream", metavar="URL", help="ask this agent")
    parser.add_argument("--direct", action="store_true", help="ask the metadata service itself")
    parser.add_argument(
        "--timeout",
        type=duration,
        default=timeout,
        metavar="DURATION",
        help=f"how long to try [{timeout:g}s]",
    )


def check_target(parsed: Namespace) -> None:
    """See that at most one is named to be asked, for a command that has ``--node`` as well.

    Raises:
        UsageError: there are several.
    """
    if sum((parsed.direct, parsed.node is not None, parsed.upstream is not None)) > 1:
        raise UsageError("--direct, --node and --upstream exclude each other")


def settings_of(parsed: Namespace) -> Settings:
    """The settings of an agent here, of which its endpoint and where it listens matter.

    Raises:
        UsageError: a variable or ``--upstream`` is wrong, or ``--direct`` contradicts it.
    """
    if parsed.direct and parsed.upstream is not None:
        raise UsageError("--direct and --upstream exclude each other")
    given = {} if parsed.upstream is None else {"upstream": parsed.upstream}
    return load_variables(annotations=False, **given)


def agent_url(parsed: Namespace, settings: Settings) -> str | None:
    """The agent to ask: the one that is named, else the one on this host; ``None``: no agent."""
    if parsed.direct or parsed.upstream == "imds":
        return None
    if parsed.upstream is not None:
        return settings.upstream
    return url_of(settings.listen, settings)


def url_of(listen: ListenAddress | None, settings: Settings) -> str | None:
    """Where on this host a listener of an agent with these settings is reached; ``None``: not by TCP."""
    listen = listen and listen.at(settings.node_address)
    if listen is None or listen.path:
        return None
    host = "127.0.0.1" if listen.host is None else listen.host
    return f"http://[{host}]:{listen.port}" if ":" in str(host) else f"http://{host}:{listen.port}"


def metadata_service(settings: Settings) -> IMDSSource:
    """A client of the metadata service."""
    return IMDSSource(
        endpoint=settings.imds_endpoint,
        api_version=settings.imds_api_version,
        timeout=settings.imds_timeout,
        clock=clock.now,
    )
