"""``get``: print the answer to one query, and end."""

import json
import sys
from argparse import Namespace
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from sidecar.api.parameters import Format
from sidecar.commands.arguments import (
    Parser,
    add_context_argument,
    add_kubeconfig_argument,
    add_prefix_argument,
    node_name,
)
from sidecar.commands.clients import (
    WHATS,
    Deadline,
    FactsClient,
    Query,
    add_target_arguments,
    agent_url,
    ask_imds,
    ask_node,
    check_target,
    metadata_service,
    parse_asked,
    reach_agent,
    settings_of,
)
from sidecar.commands.egress import add_probe_arguments, ask_probes, check_probe
from sidecar.commands.tables import as_form
from sidecar.core.egress import EgressState
from sidecar.core.representation import print_variables
from sidecar.errors import Error, ExitCode, UnreachableError, UsageError
from sidecar.sources import reading
from sidecar.stopping import run_until_terminated

_TIMEOUT = 10.0
"""Default of ``--timeout``, in seconds."""

_LISTS = ("publicIpAddresses", "inboundRules", "outboundRules")
_KINDS = ("configured", "declared", "observed")
_LIST_VARIABLES = tuple(
    f"AZURE_LB_{name}"
    for name in ("PUBLIC_IPS", "INBOUND_IPS", "OUTBOUND_IPS", "EGRESS_IPS", "EGRESS_NETWORKS")
)


def main(arguments: Sequence[str]) -> int:
    """Print one answer; an empty one is printed as well, and the exit code says so.

    Raises:
        EmptyError: the query has no result.
        UnreachableError: no answer in time.
    """
    parser = Parser(
        "get",
        description="Print one answer of the agent on this host if one runs, else of the metadata service.",
    )
    parser.add_argument("what", nargs="?", default="loadbalancer", metavar="WHAT", help=", ".join(WHATS))
    parser.add_argument(
        "parameters",
        nargs="*",
        metavar="NAME=VALUE",
        help="parameters of the HTTP API, such as protocol=udp port=41932 for reachable",
    )
    parser.add_argument(
        "-o",
        "--output",
        choices=("text", "json", "yaml", "env"),
        help="default: text if there is one, else json",
    )
    add_target_arguments(parser, timeout=_TIMEOUT)
    parser.add_argument("--node", type=node_name, metavar="NAME", help="read the annotations of this Node")
    add_kubeconfig_argument(parser)
    add_context_argument(parser)
    add_prefix_argument(parser, purpose="with --node: prefix of the keys to read")
    add_probe_arguments(parser)
    parsed = parser.parse_args(arguments)
    check_target(parsed)
    asked = parse_asked(parsed.what, parsed.parameters)
    check_probe(parsed)
    if parsed.output == "text" and asked.json_only:
        raise UsageError(f"{parsed.what} has no text form", advice="use -o json, yaml or env")
    if parsed.probe:
        output, code = run_until_terminated(ask_probes(parsed))
        sys.stdout.write(output)
        return code
    output, there_is_one = run_until_terminated(_get(parsed, asked))
    sys.stdout.write(output)
    return ExitCode.DONE if there_is_one else ExitCode.NONE


async def _get(parsed: Namespace, asked: Query) -> tuple[str, bool]:
    """What to print, and whether it has an entry, an address or a fact."""
    async with _client(parsed) as client:
        if parsed.output == "env":
            values = await client.variables()
            return print_variables(values), any(values[name] for name in _LIST_VARIABLES)
        form = Format.JSON if parsed.output in {"json", "yaml"} or asked.json_only else Format.TEXT
        text = (await client.answer(asked, form)).decode(errors="replace")
    if form is Format.TEXT:
        # Another program may listen in place of an agent: no control characters to the terminal.
        if not text.isascii() or not text.replace("\n", "").isprintable():
            raise Error("the answer is not printable text")
        return text, bool(text.strip())
    try:
        value = json.loads(text)
    except ValueError as error:
        raise Error(f"the answer is not JSON ({error})") from error
    there_is_one = bool(value)
    if isinstance(value, dict):
        document = value.get("loadbalancer")
        if isinstance(document, dict):
            there_is_one = any(document.get(name) for name in _LISTS)
        elif "configured" in value:
            there_is_one = any(value.get(name) for name in _KINDS) or value.get("state") != EgressState.OFF
        else:
            there_is_one = bool(value.get("privateIps", True))
    # A bare value would be followed by "...", the end of a document.
    return as_form(value, parsed.output).removesuffix("...\n"), there_is_one


@asynccontextmanager
async def _client(parsed: Namespace) -> AsyncIterator[FactsClient]:
    """The client that answers: of a Node, an agent, or the metadata service."""
    if parsed.node is not None:
        yield await ask_node(
            parsed.node,
            prefix=parsed.annotation_prefix,
            kubeconfig=parsed.kubeconfig,
            context=parsed.context,
            deadline=parsed.timeout,
        )
        return
    # The endpoint and where the agent listens follow the agent's own variables.
    settings = settings_of(parsed)
    deadline = Deadline(parsed.timeout)
    async with (
        reading.new_session(timeout=settings.imds_timeout) as session,
        metadata_service(settings) as source,
    ):
        url = agent_url(parsed, settings)
        agent = None if url is None else await reach_agent(session, url, deadline=deadline)
        if agent is None and url is not None and parsed.upstream is not None:
            raise UnreachableError(f"no agent listens at {url}")
        yield agent or await ask_imds(
            source, deadline=deadline, node=settings.node_name, node_address=settings.node_address
        )
