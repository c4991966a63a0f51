"""Rules about egress: from what the agent's probes saw, and what they did not, to causes."""

from collections.abc import Iterable, Iterator, Sequence

from sidecar.core import views
from sidecar.core.addresses import IPAddress, IPNetwork
from sidecar.core.document import EMPTY, Document
from sidecar.core.egress import EgressState
from sidecar.core.instant import rfc3339
from sidecar.core.probes import FlowFailure, Transport
from sidecar.doctor.causes import Confidence, Diagnosis, found
from sidecar.doctor.evidence import EgressEvidence, Findings, ProbeResult

_SILENT = {FlowFailure.NO_ANSWER, FlowFailure.NO_ROUTE}
"""How connections end that something on the way drops."""


def of_load_balancer(document: Document) -> set[IPAddress]:
    """What the load balancer has for this node: no NAT gateway's, whether it should be used or not."""
    return {*views.public_ips(document), *views.outbound_ips(document), *views.inbound_ips(document)}


def lists_of(configured: Iterable[IPAddress], declared: Iterable[IPNetwork]) -> tuple[str, str]:
    """Both lists that an address is not on, as sentences; the second is empty where nothing is declared."""
    listed, networks = ", ".join(map(str, configured)), ", ".join(map(str, declared))
    return (
        f"the metadata service lists {listed or 'no address to leave from'}",
        f"declared: {networks}" if networks else "",
    )


def egress_diagnoses(findings: Findings) -> Iterator[Diagnosis]:
    """The causes that the agent's egress probes show."""
    egress = findings.egress
    if egress is None or egress.state is EgressState.OFF:
        return
    yield from _unlisted(findings, egress)
    if egress.results:
        yield from _probes(egress)
    elif findings.agent is None or findings.agent.egress is None:
        # The annotations are all there is.
        text = f"the annotation egress-state says {egress.state}"
        if egress.state is EgressState.INSIDE:
            yield found("egress-probe-inside", text)
        elif egress.state is EgressState.UNANSWERED:
            yield found("egress-probe-unanswered", text, confidence=Confidence.LIKELY)


def _unlisted(findings: Findings, egress: EgressEvidence) -> Iterator[Diagnosis]:
    """The causes of addresses that are neither declared nor configured."""
    own = of_load_balancer(findings.document or EMPTY)
    changed_at = None if findings.agent is None else findings.agent.changed_at
    lists = lists_of(egress.configured, egress.declared)
    foreign: list[IPAddress] = []
    unexpected: list[IPAddress] = []
    for address in egress.unlisted:
        last = egress.observed.get(address)
        if last and changed_at and egress.probed_at and last < min(changed_at, egress.probed_at):
            text = (
                f"{address} was last seen at {rfc3339(last)}, before the load balancer's data changed at "
                f"{rfc3339(changed_at)}, and not in the last round of probes: it may be given up"
            )
            yield found("egress-unlisted", text, *lists, confidence=Confidence.POSSIBLE)
        elif address in own or any(network.version == address.version for network in egress.declared):
            unexpected.append(address)
        else:
            foreign.append(address)
    for cause, addresses in (("nat-gateway-or-route-table", foreign), ("egress-unlisted", unexpected)):
        if addresses:
            seen = f"egress probes saw connections come from {', '.join(map(str, addresses))}"
            yield found(cause, seen, *lists, confidence=Confidence.CERTAIN)


def _probes(egress: EgressEvidence) -> Iterator[Diagnosis]:
    """The causes of probes that brought no address of use in the last round."""
    answered = [each for each in egress.results if each.address is not None]
    if inside := [each for each in answered if each.inside]:
        yield found("egress-probe-inside", *map(str, inside))
    reached = {each.probe for each in answered}
    families = {each.version for each in (*egress.configured, *egress.declared, *egress.observed)}
    # A node without IPv6 is no reason to blame a probe that has an IPv6 address, too.
    failed = [
        each
        for each in egress.results
        if each.failure is not None and (each.probe not in reached or each.family in families)
    ]
    grounds: dict[str, list[ProbeResult]] = {}
    for each in failed:
        grounds.setdefault(_cause_of(each, failed=failed, answered=answered), []).append(each)
    for cause, group in grounds.items():
        also = ""
        if cause == "egress-probe-udp-blocked":
            others = dict.fromkeys(
                str(each.probe) for each in answered if each.probe.transport is not Transport.UDP
            )
            also = f"answered: {', '.join(others)}"
        elif (
            cause == "egress-probe-unanswered"
            and not answered
            and len({each.probe.host for each in failed}) == 1
        ):
            also = "there is no probe on another host to compare with"
        yield found(cause, *map(str, group), also)


def _cause_of(result: ProbeResult, *, failed: Sequence[ProbeResult], answered: Sequence[ProbeResult]) -> str:
    """The cause of a connection that failed, from it and the others."""
    if result.failure is FlowFailure.CERTIFICATE:
        return "egress-probe-certificate"
    if result.failure is FlowFailure.UNKNOWN_NAME:
        return "egress-probe-unknown-name"
    if result.failure in _SILENT:
        silent = all(each.failure in _SILENT for each in failed)
        if not answered and silent and len({each.probe.host for each in failed}) > 1:
            return "egress-probes-blocked"
        over = {each.probe.transport for each in answered if each.family == result.family}
        if result.probe.transport is Transport.UDP and over and Transport.UDP not in over:
            return "egress-probe-udp-blocked"
    return "egress-probe-unanswered"
