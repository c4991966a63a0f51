"""``get``: print one answer and end."""

import asyncio
import json
import sys
from argparse import Namespace
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp

from sidecar import clock
from sidecar.api.endpoints import ENDPOINTS
from sidecar.api.parameters import Format
from sidecar.commands.arguments import Parser, duration
from sidecar.commands.asking import Respondent, ask_imds, ask_node, reach_agent
from sidecar.config import Settings, load_variables
from sidecar.core.annotations import DEFAULT_PREFIX
from sidecar.core.environment import print_variables
from sidecar.errors import ExitCode, UnreachableError, UsageError
from sidecar.sources.imds import IMDSSource

__all__ = ["main"]

_WHATS = sorted(path.removeprefix("/v1/") for path in ENDPOINTS if path.startswith("/v1/"))
_JSON_ONLY = {"loadbalancer", "raw"}


def main(arguments: Sequence[str]) -> int:
    """Print one answer.

    Raises:
        NoneError: there is none.
        UnreachableError: nobody answered in time.
    """
    parsed = _parser().parse_args(arguments)
    if sum((parsed.direct, parsed.node is not None, parsed.upstream is not None)) > 1:
        raise UsageError("--direct, --node and --upstream exclude each other")
    output = asyncio.run(_get(parsed))
    sys.stdout.write(output)
    return ExitCode.DONE if output.strip() not in {"", "[]"} else ExitCode.NONE


def _parser() -> Parser:
    parser = Parser(
        "get",
        description="Print one answer: of the agent on this host if one runs, else of the metadata service.",
    )
    parser.add_argument(
        "what", nargs="?", choices=_WHATS, default="loadbalancer", metavar="WHAT", help=", ".join(_WHATS)
    )
    parser.add_argument(
        "-o", "--output", choices=("text", "json", "yaml", "env"), help="text where there is one, else json"
    )
    parser.add_argument("--upstream", metavar="URL", help="ask this agent")
    parser.add_argument("--direct", action="store_true", help="ask the metadata service itself")
    parser.add_argument("--node", metavar="NAME", help="read the annotations of this Node")
    parser.add_argument("--kubeconfig", metavar="PATH", help="for --node")
    parser.add_argument("--context", metavar="NAME", help="for --node")
    parser.add_argument("--annotation-prefix", metavar="DOMAIN", default=DEFAULT_PREFIX, help="for --node")
    parser.add_argument(
        "--timeout", type=duration, default=10.0, metavar="DURATION", help="how long to try [10s]"
    )
    return parser


async def _get(parsed: Namespace) -> str:
    async with _respondent(parsed) as respondent:
        if parsed.output == "env":
            return print_variables(await respondent.variables())
        json_only = parsed.what in _JSON_ONLY
        if parsed.output == "text" and json_only:
            raise UsageError(f"{parsed.what} has no text form", advice="use -o json, yaml or env")
        form = Format.JSON if parsed.output in {"json", "yaml"} or json_only else Format.TEXT
        return _printed(await respondent.answer(parsed.what, form), form, yaml=parsed.output == "yaml")


def _printed(body: bytes, form: Format, *, yaml: bool) -> str:
    text = body.decode()
    if form is Format.TEXT:
        return text
    value = json.loads(text)
    if not yaml:
        return json.dumps(value, indent=2) + "\n"
    from yaml import safe_dump  # noqa: PLC0415 - only this form needs it

    # A bare value would be followed by "...", the end of a document.
    return str(safe_dump(value, sort_keys=False)).removesuffix("...\n")


@asynccontextmanager
async def _respondent(parsed: Namespace) -> AsyncIterator[Respondent]:
    """Find out who is to answer."""
    if parsed.node is not None:
        yield await ask_node(
            parsed.node,
            prefix=parsed.annotation_prefix,
            kubeconfig=parsed.kubeconfig,
            context=parsed.context,
            patience=parsed.timeout,
        )
        return
    # The endpoint and where the agent listens follow the agent's own variables.
    given = {} if parsed.upstream is None else {"upstream": parsed.upstream}
    settings = load_variables(annotations=False, **given)
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=settings.imds_timeout)) as session,
        IMDSSource(
            endpoint=settings.imds_endpoint,
            api_version=settings.imds_api_version,
            timeout=settings.imds_timeout,
            clock=clock.now,
        ) as source,
    ):
        url = _agent_url(parsed, settings)
        agent = None if url is None else await reach_agent(session, url, patience=parsed.timeout)
        if agent is None and url is not None and parsed.upstream is not None:
            raise UnreachableError(f"no agent listens at {url}")
        yield agent or await ask_imds(
            source, patience=parsed.timeout, node=settings.node_name, node_address=settings.node_address
        )


def _agent_url(parsed: Namespace, settings: Settings) -> str | None:
    """The agent to ask: the one that is named, else the one on this host; ``None``: no agent."""
    if parsed.direct or parsed.upstream == "imds":
        return None
    if parsed.upstream is not None:
        return settings.upstream
    listen = settings.listen
    if listen is None or listen.path:
        return None
    host = "127.0.0.1" if listen.host is None else listen.host
    return f"http://[{host}]:{listen.port}" if ":" in str(host) else f"http://{host}:{listen.port}"
