"""From the findings to the causes that apply: pure. Here are the rules about clock, agent, data and settings.

Those about the metadata service stand in ``diagnose_service``, those about the Node in ``diagnose_cluster``,
those about egress probes in ``diagnose_egress``.
"""

from collections.abc import Collection, Iterator

from sidecar.core.egress import EgressBasis, egress
from sidecar.core.outcome import Reason, Status
from sidecar.doctor.causes import CAUSES, Confidence, Diagnosis, found
from sidecar.doctor.diagnose_cluster import annotation_diagnoses, cluster_diagnoses
from sidecar.doctor.diagnose_egress import egress_diagnoses, lists_of, of_load_balancer
from sidecar.doctor.diagnose_service import attempt_diagnoses, service_diagnoses
from sidecar.doctor.evidence import Findings

_SKEW = 60.0
"""Seconds that a clock may be wrong: a ``Date`` has whole ones, and requests take some."""

_WRONG = {"entry": "is no object", "too-many": "is beyond the most that are looked at"}
"""What is wrong with an entry that was left out, where that is not one of its members."""

_UNITS = (("days", 86_400), ("hours", 3600), ("minutes", 60))


def diagnose(findings: Findings, *, ignored: Collection[str] = ()) -> tuple[Diagnosis, ...]:
    """The causes that apply, each once, the one that explains the others first.

    Args:
        findings: The evidence.
        ignored: Names of causes that are as intended.
    """
    grounds: dict[str, list[Diagnosis]] = {name: [] for name in CAUSES}
    for rule in (
        clock_diagnoses,
        agent_diagnoses,
        service_diagnoses,
        attempt_diagnoses,
        cluster_diagnoses,
        annotation_diagnoses,
        data_diagnoses,
        egress_diagnoses,
        setting_diagnoses,
    ):
        for diagnosis in rule(findings):
            grounds[diagnosis.cause.name].append(diagnosis)
    order = list(Confidence)
    return tuple(
        Diagnosis(
            CAUSES[name],
            min((each.confidence for each in group), key=order.index),
            tuple(dict.fromkeys(sentence for each in group for sentence in each.evidence)),
        )
        for name, group in grounds.items()
        if group and name not in ignored
    )


def clock_diagnoses(findings: Findings) -> Iterator[Diagnosis]:
    """Whether this machine's clock is right, compared to those of others."""
    evidence, ahead = [], set()
    for whose, seconds in findings.clocks.items():
        if abs(seconds) <= _SKEW:
            continue
        span = f"{abs(seconds):.0f} s"
        for unit, length in _UNITS:
            if abs(seconds) >= 2 * length:
                span = f"{abs(seconds) / length:.0f} {unit}"
                break
        evidence.append(f"it is {span} {'ahead of' if seconds > 0 else 'behind'} that of {whose}")
        ahead.add(seconds > 0)
    if evidence:
        # Several others that agree are not all wrong.
        agreed = len(evidence) == len(findings.clocks) > 1 and len(ahead) == 1
        yield found("clock-wrong", *evidence, confidence=Confidence.CERTAIN if agreed else None)


def agent_diagnoses(findings: Findings) -> Iterator[Diagnosis]:
    """What is wrong with the agent itself."""
    agent, environment = findings.agent, findings.environment
    if agent is None:
        return
    if not agent.reached:
        text = f"no agent answers at {agent.where}: {agent.detail}"
        if agent.silent:
            yield found("agent-stuck", text, confidence=Confidence.LIKELY)
        else:
            yield found("no-agent", text)
        return
    upstream = environment.upstream
    if upstream and agent.where != upstream and agent.status in {Status.STARTING, Status.STALE}:
        text = f"the agent here is {agent.status}: {agent.reason}; it reads from {upstream}"
        also = "that one answers doctor at this moment"
        yield found("no-agent", text, also, confidence=Confidence.POSSIBLE)
    if agent.overdue:
        yield found("agent-stuck", f"/livez says: {agent.overdue}")
    here = environment.node_name
    if environment.same_host and here is not None and agent.node not in {None, here}:
        yield found("agent-of-another-node", f"it is of node {agent.node}, and this is {here}")
    if agent.unready and agent.status not in {None, Status.STARTING}:
        text = f"there are data, but /readyz says: {agent.unready}"
        yield found("agent-not-ready", text, confidence=Confidence.LIKELY)


def data_diagnoses(findings: Findings) -> Iterator[Diagnosis]:
    """Data of the metadata service that are not what somebody hopes for."""
    service, cluster, document = findings.service, findings.cluster, findings.document
    seen_from = findings.environment.seen_from
    if source := _source_of_none(findings):
        basic = [] if service is None else list(service.instance_public_ips or ())
        if basic:
            text = f"/metadata/instance has {', '.join(basic)}, where Standard SKU addresses are left out"
            yield found("basic-sku-only", source, text)
        else:
            yield found("no-standard-load-balancer", source)
    elif document is not None and not document.empty:
        known = egress(document, findings.declared)
        others = [
            each for each in seen_from if not known.lists(each) and each not in of_load_balancer(document)
        ]
        if others:
            seen = f"connections were seen to come from {', '.join(map(str, others))}"
            lists = lists_of(egress(document).addresses, findings.declared)
            yield found("nat-gateway-or-route-table", seen, *lists, confidence=Confidence.CERTAIN)
        elif known.basis is EgressBasis.UNKNOWN and not seen_from:
            text = "there is neither an outbound rule nor an instance-level public IP address"
            yield found("nat-gateway-or-route-table", text)
    elif document is None and cluster is not None:
        basis = cluster.annotations.get("egress-basis")
        # Of a node without data the basis is unknown as well.
        if basis == EgressBasis.UNKNOWN and "inbound-ips" in cluster.annotations:
            yield found("nat-gateway-or-route-table", f"the annotation egress-basis says {basis}")
    if service is not None and service.dropped:
        first, count = service.dropped[0], sum(each.count for each in service.dropped)
        wrong = _WRONG.get(first.cause, f"has a wrong {first.cause}")
        text = f"{count} left out; the first one, of {first.list_name}, {wrong}: {first.shown}"
        yield found("unusable-entries", text)


def _source_of_none(findings: Findings) -> str:
    """Whose response says that there are no data; empty if none does. The nearest to the service counts."""
    service, agent, cluster = findings.service, findings.agent, findings.cluster
    if service is not None and service.document is not None:
        return "the metadata service says so" if service.document.empty else ""
    if agent is not None and agent.reached:
        none = agent.reason is Reason.NO_METADATA or agent.status is Status.NO_METADATA
        return "the agent says so" if none else ""
    if cluster is not None and cluster.annotations.get("reason") == Reason.NO_METADATA:
        return "the Node's annotations say so"
    return ""


def setting_diagnoses(findings: Findings) -> Iterator[Diagnosis]:
    """Settings that have no effect."""
    for name, nearest in findings.environment.misspelt.items():
        yield found("setting-misspelt", f"{name} is no setting; the nearest one is {nearest}")
