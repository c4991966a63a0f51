"""``nodes --egress``: the list to allow on standard output, assumptions and gaps on standard error."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from sidecar.clock import now
from sidecar.commands.tables import as_form, grouped, shortened
from sidecar.core.addresses import IPNetwork
from sidecar.core.egress import distinct_networks
from sidecar.core.instant import rfc3339
from sidecar.errors import UsageError
from sidecar.fleet import progress
from sidecar.fleet.egress import (
    ASSUMPTION,
    ClusterGateway,
    FleetEgress,
    UnknownNode,
    compare,
    outside,
    parse_networks,
    union,
)
from sidecar.fleet.scan import Scan, Selection, scan_all

FORMS = ("text", "json", "yaml")

_OBSERVED_MARK = "  # observed"
"""After a network that probes saw and nobody declared or configured: a comment to `read_networks`."""

_NAMED = 5
"""Nodes that are named in a line about what is assumed of them; the others are counted."""


def read_networks(path: str) -> tuple[IPNetwork, ...]:
    """The networks of a file; editors of some systems let it begin with a byte order mark.

    Raises:
        UsageError: it cannot be read, or holds something else.
    """
    try:
        return parse_networks(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--diff {path}: {error}") from error


def egress_of(scans: Iterable[Scan]) -> FleetEgress:
    """The egress networks of several clusters."""
    given = list(scans)
    return union(
        (row for scan in given for row in scan.rows),
        (ClusterGateway(scan.cluster, each) for scan in given for each in scan.gateways or ()),
    )


def print_egress(  # noqa: PLR0913 - what the arguments ask for
    egress: FleetEgress,
    form: str,
    *,
    observed: bool,
    within: Sequence[IPNetwork],
    given: Sequence[IPNetwork] | None,
    problems: Sequence[str],
) -> bool:
    """Print the list, or its difference from a given one.

    Args:
        egress: Of all nodes.
        form: One of the ``FORMS``.
        observed: Whether the list has what was only observed, too; as text it is marked.
        within: Networks that all addresses are to lie in; empty for any.
        given: The networks that are allowed now; ``None`` for no comparison.
        problems: What could not be read.

    Returns:
        Whether the list is complete and as expected.
    """
    wanted = _wanted(egress, observed=observed)
    beyond = list(map(str, outside(wanted, within))) if within else []
    difference = None if given is None else compare(wanted, given, seen=egress.observed)
    missing = () if difference is None else difference.missing
    needless = () if difference is None else difference.needless
    if form == "text":
        seen = {*egress.observed}
        signed = [("", each) for each in wanted] if difference is None else [("+", each) for each in missing]
        for sign, network in signed:
            print(_line(sign, network, seen=seen))
        for network in needless:
            print(f"-{network}")
    else:
        value = {
            "complete": egress.complete and not problems,
            "assumed": ASSUMPTION if egress.assumed else None,
            "assumedOf": [{"cluster": cluster or None, "node": node} for cluster, node in egress.assumed],
            "cidrs": list(map(str, egress.networks)),
            "observed": list(map(str, egress.observed)),
            "outside": beyond,
            "missing": list(map(str, missing)),
            "needless": list(map(str, needless)),
            "unlisted": [
                {
                    "cluster": each.cluster or None,
                    "node": each.node,
                    "addresses": list(map(str, each.addresses)),
                }
                for each in egress.unlisted
            ],
            "staticGateways": [
                {
                    "cluster": each.cluster or None,
                    "namespace": each.gateway.namespace,
                    "name": each.gateway.name,
                    "prefix": ",".join(map(str, each.gateway.networks)) or None,
                }
                for each in egress.gateways
            ],
            "notKnown": [
                {
                    "cluster": gap.cluster or None,
                    "node": gap.node,
                    "cause": gap.cause,
                    "lasting": gap.lasting or None,
                    "listedAsOf": gap.last_known or None,
                }
                for gap in egress.gaps
            ],
            "problems": list(problems),
        }
        print(as_form(value, form), end="")
    for line in (*_assumption_lines(egress), *_remarks(egress), *problems, *_faults(egress)):
        progress.message(line)
    if beyond:
        progress.message(f"outside {', '.join(map(str, within))}: {', '.join(beyond)}")
    return egress.complete and not (problems or beyond or missing or needless)


def _wanted(egress: FleetEgress, *, observed: bool) -> tuple[IPNetwork, ...]:
    return distinct_networks((*egress.networks, *egress.observed)) if observed else egress.networks


def _line(sign: str, network: IPNetwork, *, seen: set[IPNetwork]) -> str:
    return f"{sign}{network}{_OBSERVED_MARK if network in seen else ''}"


def _assumption_lines(egress: FleetEgress) -> list[str]:
    """What is assumed, and of which nodes; nothing where all declare or agree."""
    if not egress.assumed:
        return []
    count = len(egress.assumed)
    if count == egress.listed:
        return [
            f"{ASSUMPTION} (all {count} listed nodes)" if count > 1 else f"{ASSUMPTION} (the listed node)"
        ]
    names = [_full_name(cluster, node) for cluster, node in egress.assumed]
    return [f"{ASSUMPTION} ({count} of {egress.listed} listed nodes: {shortened(names, most=_NAMED)})"]


def _remarks(egress: FleetEgress) -> list[str]:
    """The prefixes of static gateways, a line for each namespace."""
    assigned = [
        (each.namespace, f"{','.join(map(str, each.gateway.networks))} ({each.gateway.name})")
        for each in egress.gateways
        if each.gateway.networks
    ]
    return [f"listed for static egress gateways of namespace {line}" for line in grouped(assigned)]


def _faults(egress: FleetEgress) -> list[str]:
    """Why the list is not complete, a line for each cause."""
    named: list[tuple[str, str]] = []
    for each in egress.gateways:
        if not each.gateway.networks:
            cause = "is no network" if each.gateway.unreadable else "is not assigned yet"
            cause = f"not known: static egress gateway whose status.egressIpPrefix {cause}"
            named.append((cause, f"{each.namespace}/{each.gateway.name}"))
    for node in egress.unlisted:
        which = ", ".join(map(str, node.addresses)) or "an address that its annotations do not tell"
        cause = f"unlisted: seen from {which}, which is neither declared nor configured"
        named.append((cause, _full_name(node.cluster, node.node)))
    return [*grouped(named), *_gap_lines(egress.gaps)]


def _full_name(cluster: str, node: str) -> str:
    return f"{cluster}/{node}" if cluster else node


def _gap_lines(gaps: Iterable[UnknownNode]) -> list[str]:
    """The nodes that are not known, a line for each cause."""
    named: list[tuple[str, str]] = []
    for gap in gaps:
        name = _full_name(gap.cluster, gap.node)
        known = f"listed as of {gap.last_known}" if gap.last_known else ""
        remarks = ", ".join(filter(None, (gap.lasting, known)))
        named.append((gap.cause, f"{name} ({remarks})" if remarks else name))
    return [f"not known: {line}" for line in grouped(named)]


async def watch(
    contexts: Sequence[str | None], selection: Selection, *, interval: float, observed: bool
) -> NoReturn:
    """Scan again and again until cancelled, and print the networks that each scan adds or removes.

    A cluster that cannot be read keeps the networks that it had: an outage removes nothing. The same holds
    for its static gateways.

    Args:
        contexts: Of the kubeconfig.
        selection: Which nodes.
        interval: Seconds between two scans.
        observed: Whether the list has what was only observed, too.

    Raises:
        Error: of a cluster that cannot be read at the first scan.
    """
    on_retry = progress.retries()  # once for all scans: an outage is a line, and not one a minute
    scans: dict[str, Scan] = {}
    listed: set[IPNetwork] = set()
    seen: set[IPNetwork] = set()
    reported: list[str] | None = None
    assumed = False
    while True:
        problems: list[str] = []
        for scan in await scan_all(contexts, selection, read=lambda _: None, on_retry=on_retry):
            problems += map(scan.named, scan.problems)
            before = scans.get(scan.cluster)
            if scan.error is None:
                known = before is not None and scan.gateways is None
                scans[scan.cluster] = replace(scan, gateways=before.gateways) if before and known else scan
            elif before is None:
                # Probably a mistake; and a list that lacks a cluster from the beginning would go unnoticed.
                raise scan.error
            else:
                problems.append(scan.named(f"could not be read, its addresses stay: {scan.error}"))
        egress = egress_of(scans.values())
        # Without numbers and names: each node that comes would say it again.
        if egress.assumed and not assumed:
            progress.message(ASSUMPTION)
        assumed = bool(egress.assumed)
        networks = set(_wanted(egress, observed=observed))
        for network in distinct_networks(listed - networks):
            print(_line("-", network, seen=seen), flush=True)
        seen = {*egress.observed}
        for network in distinct_networks(networks - listed):
            print(_line("+", network, seen=seen), flush=True)
        listed = networks
        # Without times, which would make each scan differ from the one before.
        gaps = tuple(replace(gap, lasting="", last_known="") for gap in egress.gaps)
        faults = [*problems, *_faults(replace(egress, gaps=gaps))]
        lines = [*_remarks(egress), *(faults or ["all nodes are known"])]
        if lines != reported:
            time = rfc3339(now().utc)
            for line in lines:
                progress.message(f"{time} {line}")
            reported = lines
        await asyncio.sleep(interval)
