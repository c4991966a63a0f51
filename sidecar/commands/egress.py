"""``get egress --probe``: ask probes from where this runs, and compare with what an agent publishes."""

import asyncio
import json
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path

from sidecar import clock
from sidecar.agent.egress_observer import ProbeClient, flows_to
from sidecar.api.bodies import egress_text, egress_value
from sidecar.commands.arguments import whole_number, written_as
from sidecar.commands.clients import Deadline, agent_url, reach_agent, settings_of
from sidecar.commands.tables import as_form
from sidecar.core.document import EMPTY, canonical_bytes
from sidecar.core.egress import MOST_PROBES, EgressState, Observation, RoundPolicy
from sidecar.core.probes import Flow, parse_probe
from sidecar.core.state import State
from sidecar.errors import Error, ExitCode, UnreachableError, UsageError
from sidecar.sources import reading

_FLOWS = 5
"""Default of ``--probe-flows``."""

_MOST_FLOWS = 128
"""Enough to see all of 16 addresses with 95 % certainty, and no load for a probe."""

_CODES = {
    EgressState.AGREES: ExitCode.DONE,
    EgressState.UNLISTED: ExitCode.INCOMPLETE,
    EgressState.INSIDE: ExitCode.INCOMPLETE,
    EgressState.UNANSWERED: ExitCode.UNREACHABLE,
}


def add_probe_arguments(parser: ArgumentParser) -> None:
    """Add ``--probe``, ``--probe-flows`` and ``--probe-ca``."""
    parser.add_argument(
        "--probe",
        action="append",
        type=written_as(parse_probe),
        default=[],
        metavar="URL",
        help="with egress: ask this server from here which address connections come from, and compare with "
        "what the agent publishes if one answers; stun:HOST[:PORT], stun+tcp:HOST[:PORT] or "
        "https://HOST/PATH; may be repeated",
    )
    parser.add_argument(
        "--probe-flows",
        type=whole_number(1, _MOST_FLOWS),
        metavar="NUMBER",
        help=f"connections to each probe over each address family [{_FLOWS}]",
    )
    parser.add_argument(
        "--probe-ca",
        type=Path,
        metavar="PATH",
        help="certificate authorities (PEM) of https: probes; else the system's",
    )


def check_probe(parsed: Namespace) -> None:
    """Check that ``--probe`` goes with the other arguments.

    Raises:
        UsageError: it does not.
    """
    if not parsed.probe:
        if parsed.probe_flows is not None or parsed.probe_ca is not None:
            raise UsageError("--probe-flows and --probe-ca need --probe")
        return
    if parsed.what != "egress":
        raise UsageError("--probe is for egress", advice="write get egress --probe URL")
    if parsed.node is not None or parsed.direct:
        raise UsageError("--probe asks from here: neither --node nor --direct goes with it")
    if parsed.output == "env":
        raise UsageError("--probe has no variables", advice="use -o text, json or yaml")
    if len(parsed.probe) > MOST_PROBES:
        raise UsageError(f"there are more than {MOST_PROBES} probes")


async def ask_probes(parsed: Namespace) -> tuple[str, ExitCode]:
    """Ask the probes, each as often as the arguments say; what to print, and how it ends.

    Raises:
        UnreachableError: the agent that is named does not answer.
    """
    # Late: no other command needs what asks them.
    from sidecar.sources.probing import Prober  # noqa: PLC0415

    deadline = Deadline(parsed.timeout)
    async with asyncio.TaskGroup() as tasks:
        comparing = tasks.create_task(_published(parsed, deadline))
        before = Observation(tuple(dict.fromkeys(parsed.probe)))
        asking = tasks.create_task(_observed(Prober(ca=parsed.probe_ca), parsed, deadline, before=before))
    published, observation = comparing.result(), asking.result()
    if isinstance(published, Error):
        raise published
    state = replace(published or State(started=clock.now(), document=EMPTY), observation=observation)
    value = egress_value(state)
    code = _CODES[EgressState(value["state"])]
    # With nothing to compare with, what came from outside neither agrees nor differs.
    compared = published is not None or code is ExitCode.UNREACHABLE or value["state"] == "inside"
    if not compared:
        code = ExitCode.DONE
    if parsed.output not in {"json", "yaml"}:
        return egress_text(value, compared=compared), code
    answer = json.loads(canonical_bytes(value))
    if not compared:
        answer["state"] = None
        for seen in answer["observed"]:
            seen["listed"] = None
    return as_form(answer, parsed.output), code


async def _published(parsed: Namespace, deadline: Deadline) -> State | Error | None:
    """What the agent publishes; ``None`` where none is named and none answers on this host.

    An error is given back, not raised: it must not end what else is asked at the same time.
    """
    settings = settings_of(parsed)
    url = agent_url(parsed, settings)
    if url is None:
        return None
    try:
        async with reading.new_session(timeout=settings.imds_timeout) as session:
            agent = await reach_agent(session, url, deadline=deadline)
            if agent is not None:
                return (await agent.published()).state
    except Error as error:
        if parsed.upstream is not None:
            return error
        sys.stderr.write(f"azure-lb-metadata get: nothing to compare with: {error}\n")
        return None
    return None if parsed.upstream is None else UnreachableError(f"no agent listens at {url}")


async def _observed(
    prober: ProbeClient, parsed: Namespace, deadline: Deadline, *, before: Observation
) -> Observation:
    """One round of all probes at the same time, as far as it comes within the time."""
    most = parsed.probe_flows or _FLOWS
    policy = RoundPolicy(interval=0.0, flows=most, keep=float("inf"))
    if sys.stderr.isatty():
        count = "1 connection" if most == 1 else f"{most} connections"
        for probe in before.probes:
            sys.stderr.write(f"asking {probe}: {count} over each address family\n")
    flows: list[Flow] = []
    try:
        async with deadline.limit(), asyncio.TaskGroup() as tasks:
            for probe in before.probes:
                asking = flows_to(
                    prober, probe, enough=lambda some: policy.enough(before, some), note=flows.append
                )
                tasks.create_task(asking)
    except TimeoutError:
        sys.stderr.write(f"azure-lb-metadata get: not all was asked within {parsed.timeout:g} s\n")
    return before.after_round(flows, now=clock.now(), keep=policy.keep)
