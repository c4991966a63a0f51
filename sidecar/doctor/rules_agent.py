"""The causes that lie with the clock, the agent, the settings, or in what the metadata service has to say."""

from collections.abc import Iterator, Sequence

from sidecar.core import views
from sidecar.core.document import Document
from sidecar.core.outcome import Reason, Status
from sidecar.core.parsing import DroppedEntry
from sidecar.doctor.causes import Confidence, Diagnosis, found
from sidecar.doctor.evidence import AgentEvidence, Findings

_SKEW = 60.0
"""Seconds that a clock may be wrong: a ``Date`` has whole ones, and requests take some."""

_WRONG = {"entry": "is no object", "too-many": "is beyond the most that are looked at"}
"""What is wrong with an entry that was left out, where that is not one of its members."""


def clock_diagnoses(findings: Findings) -> Iterator[Diagnosis]:
    """Whether the own clock is right, as others see it."""
    wrong = {who: ahead for who, ahead in findings.clocks.items() if abs(ahead) > _SKEW}
    if not wrong:
        return
    agreed = len(wrong) == len(findings.clocks) > 1 and len({ahead > 0 for ahead in wrong.values()}) == 1
    evidence = [
        f"it is {_span(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} that of {who}"
        for who, ahead in wrong.items()
    ]
    yield found("clock-wrong", Confidence.CERTAIN if agreed else Confidence.LIKELY, *evidence)


def _span(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def agent_diagnoses(findings: Findings) -> Iterator[Diagnosis]:
    """What is wrong with the agent itself."""
    agent, own = findings.agent, findings.surroundings.node_name
    if agent is None:
        return
    if not agent.reached:
        yield found("no-agent", Confidence.CERTAIN, f"no agent answers at {agent.where}: {agent.detail}")
        return
    yield from _of_upstream(agent, findings.surroundings.upstream)
    if agent.overdue:
        yield found("agent-stuck", Confidence.CERTAIN, f"/livez says: {agent.overdue}")
    if own is not None and agent.node not in {None, own} and findings.surroundings.same_host:
        yield found(
            "agent-of-another-node", Confidence.CERTAIN, f"it is of node {agent.node}, and this is {own}"
        )
    if agent.unready and agent.status not in {None, Status.STARTING}:
        text = f"there are data, but /readyz says: {agent.unready}"
        yield found("agent-not-ready", Confidence.LIKELY, text)


def _of_upstream(agent: AgentEvidence, upstream: str) -> Iterator[Diagnosis]:
    """An agent that reads from another one which answers, and still has no fresh data."""
    if upstream and agent.where != upstream and agent.status in {Status.STARTING, Status.STALE}:
        told = f"the agent here is {agent.status}: {agent.reason}; it reads from {upstream}"
        yield found("no-agent", Confidence.POSSIBLE, told, "that one answers doctor at this moment")


def data_diagnoses(findings: Findings) -> Iterator[Diagnosis]:
    """What the metadata service says, where that is not what somebody hopes for."""
    if told := _told_none(findings):
        yield _of_none(findings, told)
    elif findings.document is not None and not findings.document.empty:
        yield from _of_egress(findings, findings.document)
    elif (basis := _annotated_basis(findings)) is not None:
        yield found(
            "nat-gateway-or-route-table", Confidence.LIKELY, f"the annotation egress-basis says {basis}"
        )
    if findings.service is not None and findings.service.dropped:
        yield found("unusable-entries", Confidence.CERTAIN, _of_dropped(findings.service.dropped))


def _of_dropped(dropped: Sequence[DroppedEntry]) -> str:
    count, first = sum(each.count for each in dropped), dropped[0]
    wrong = _WRONG.get(first.cause, f"has a wrong {first.cause}")
    return f"{count} left out; the first one, of {first.list_name}, {wrong}: {first.shown}"


def _told_none(findings: Findings) -> str:
    """Who says that there are no data; empty if nobody does."""
    service, agent, cluster = findings.service, findings.agent, findings.cluster
    if service is not None and service.document is not None:
        return "the metadata service says so" if service.document.empty else ""
    if agent is not None and agent.reached:
        none = agent.reason is Reason.NO_METADATA or agent.status is Status.NO_METADATA
        return "the agent says so" if none else ""
    if cluster is not None and cluster.annotations.get("reason") == Reason.NO_METADATA:
        return "the Node's annotations say so"
    return ""


def _of_none(findings: Findings, told: str) -> Diagnosis:
    basic = [] if findings.service is None else list(findings.service.instance_public_ips or ())
    if basic:
        text = f"/metadata/instance has {', '.join(basic)}, where Standard SKU addresses are left out"
        return found("basic-sku-only", Confidence.CERTAIN, told, text)
    return found("no-standard-load-balancer", Confidence.CERTAIN, told)


def _of_egress(findings: Findings, document: Document) -> Iterator[Diagnosis]:
    listed = views.egress_ips(document)
    others = [address for address in findings.surroundings.seen_from if address not in listed]
    if others:
        seen = f"connections were seen to come from {', '.join(map(str, others))}"
        told = f"the metadata service lists {', '.join(map(str, listed)) or 'no address to leave from'}"
        yield found("nat-gateway-or-route-table", Confidence.CERTAIN, seen, told)
    elif not listed and not findings.surroundings.seen_from:
        text = "there is neither an outbound rule nor an instance-level public IP address"
        yield found("nat-gateway-or-route-table", Confidence.LIKELY, text)


def _annotated_basis(findings: Findings) -> str | None:
    """``unknown`` if the annotations say so of a node that has data."""
    cluster = findings.cluster
    if findings.document is not None or cluster is None:
        return None
    basis = cluster.annotations.get("egress-basis")
    has_data = cluster.annotations.get("inbound-ips") is not None
    return basis if basis == views.EgressBasis.UNKNOWN and has_data else None


def setting_diagnoses(findings: Findings) -> Iterator[Diagnosis]:
    """Settings that have no effect."""
    for name, nearest in findings.surroundings.misspelt.items():
        yield found(
            "setting-misspelt", Confidence.CERTAIN, f"{name} is no setting; the nearest one is {nearest}"
        )
