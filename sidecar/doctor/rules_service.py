"""From tries of the metadata service, and the agent's attempts, to the causes that lie there."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from sidecar.core.outcome import Reason, Status
from sidecar.doctor.causes import Confidence, Diagnosis, found
from sidecar.doctor.evidence import (
    AgentEvidence,
    Environment,
    FailureKind,
    Findings,
    ServiceAttempt,
    ServiceEvidence,
)
from sidecar.doctor.replies import Classification, judge, of_agent

_FEW = 2
"""Throttled attempts of the agent's last ten from which it is worth a word; one is nothing."""
_SOME = 3
"""The same for other failures, such as those of a host update."""
_SHARE = 0.1
"""Of all attempts since the start, throttled ones from which it is worth a word; at least 10 of them."""

_BY_REASON = {
    Reason.THROTTLED: ("throttled", Confidence.CERTAIN),
    Reason.UNAVAILABLE: ("metadata-service-unavailable", Confidence.LIKELY),
    Reason.NOT_READY: ("load-balancer-api-not-ready", Confidence.POSSIBLE),
    Reason.REJECTED: ("request-refused", Confidence.POSSIBLE),
    Reason.MALFORMED: ("answer-malformed", Confidence.LIKELY),
}
"""Where the reason is all that is known."""


def service_diagnoses(findings: Findings) -> Iterator[Diagnosis]:
    """The causes between the agent and the metadata service, or in that service."""
    if findings.service is not None:
        yield from _of_tries(findings.service, findings)
    asks_itself = not findings.surroundings.upstream
    if asks_itself and (findings.service is None or not findings.service.failures):
        yield from _of_agent(findings)


def _of_tries(service: ServiceEvidence, findings: Findings) -> Iterator[Diagnosis]:
    surroundings = findings.surroundings
    grouped: dict[str, list[tuple[ServiceAttempt, Classification]]] = defaultdict(list)
    for each in service.failures:
        verdict = judge(each, surroundings)
        grouped[verdict.cause].append((each, verdict))
    for cause, group in grouped.items():
        first, verdict = group[0]
        evidence = [f"{len(group)} of {len(service.tries)} tries: {_told(first)}", verdict.because]
        if cause == "throttled":
            evidence += _how_much(findings.agent)
        yield found(cause, verdict.sure, *evidence, *_also(cause, surroundings))
        if verdict.sure is Confidence.POSSIBLE and cause == "imds-restriction":
            because = f"{surroundings.endpoint} is not the well-known address"
            yield found("wrong-endpoint", Confidence.POSSIBLE, _told(first), because)
    yield from _of_answers(service, surroundings)


def _of_answers(service: ServiceEvidence, surroundings: Environment) -> Iterator[Diagnosis]:
    """What answers tell that are none to complain of by themselves."""
    bare = service.without_header
    if bare is not None and bare.status == 200 and not bare.failed:
        cause = "proxy-in-the-way" if surroundings.default_endpoint else "wrong-endpoint"
        text = "a request without the header Metadata: true was answered with data, which the service refuses"
        yield found(cause, Confidence.LIKELY, text)
    slow = [each for each in service.tries if not each.failed and each.seconds > surroundings.timeout]
    if slow:
        longest = max(each.seconds for each in slow)
        text = f"an answer took {longest:.1f} s, and the agent waits {surroundings.timeout:g} s"
        yield found("metadata-service-slow", Confidence.CERTAIN, text)


def _of_agent(findings: Findings) -> Iterator[Diagnosis]:
    """What the agent's own attempts tell, where doctor's do not."""
    agent, cluster = findings.agent, findings.cluster
    if agent is None or not agent.reached:
        if agent is None and cluster is not None:
            yield from _of_annotations(cluster.annotations, findings.surroundings)
        return
    failed = [each for each in (of_agent(attempt, now=findings.now) for attempt in agent.attempts) if each]
    lasting = agent.status in {Status.STARTING, Status.STALE} and agent.reason is not Reason.NO_METADATA
    if lasting and agent.reason is not None:
        yield _lasting(agent, agent.reason, failed, findings=findings)
    elif diagnosis := _frequent(agent, failed, findings.surroundings):
        yield diagnosis


def _lasting(
    agent: AgentEvidence, reason: Reason, failed: Sequence[ServiceAttempt], *, findings: Findings
) -> Diagnosis:
    """The cause why the agent has no fresh data."""
    now = "" if findings.service is None else "the service answers doctor at this moment"
    told = f"the agent is {agent.status}, its last attempt was {reason}"
    if not failed:
        more = _how_much(agent) if reason is Reason.THROTTLED else []
        return _by_reason(reason, findings.surroundings, told, now, *more)
    verdict = judge(failed[0], findings.surroundings)
    sure = Confidence.LIKELY if verdict.sure is Confidence.CERTAIN and now else verdict.sure
    more = _how_much(agent) if verdict.cause == "throttled" else []
    also = _also(verdict.cause, findings.surroundings)
    return found(verdict.cause, sure, told, failed[0].detail, verdict.because, now, *more, *also)


def _frequent(
    agent: AgentEvidence, failed: Sequence[ServiceAttempt], surroundings: Environment
) -> Diagnosis | None:
    """A cause that comes and goes."""
    throttled = [each for each in failed if each.reason is Reason.THROTTLED]
    many = agent.count("throttled")
    if len(throttled) >= _FEW or (not agent.attempts and many >= max(10.0, _SHARE * agent.counted)):
        return found("throttled", Confidence.CERTAIN, *_how_much(agent))
    if len(failed) < _SOME:
        return None
    verdict = judge(failed[0], surroundings)
    text = f"{len(failed)} of the agent's last {len(agent.attempts)} attempts failed: {failed[0].detail}"
    return found(verdict.cause, Confidence.LIKELY, text, verdict.because)


def _of_annotations(annotations: Mapping[str, str], surroundings: Environment) -> Iterator[Diagnosis]:
    """What the agent said when it wrote last."""
    word = annotations.get("reason", "")
    if annotations.get("status") in {Status.STARTING, Status.STALE} and word in set(Reason):
        reason = Reason(word)
        if reason is not Reason.NO_METADATA:
            text = f"the annotations say {annotations['status']}, {reason}"
            yield _by_reason(reason, surroundings, text)


def _by_reason(reason: Reason, surroundings: Environment, *evidence: str) -> Diagnosis:
    if reason in _BY_REASON:
        name, sure = _BY_REASON[reason]
        return found(name, sure, *evidence)
    if surroundings.host_network is False:
        return found(
            "imds-restriction", Confidence.LIKELY, *evidence, "the agent's pod is outside the node's network"
        )
    return found("metadata-service-unreachable", Confidence.LIKELY, *evidence)


def _how_much(agent: AgentEvidence | None) -> list[str]:
    """How much of the agent's asking is refused."""
    if agent is None or not agent.reached:
        return []
    told = []
    if agent.attempts:
        count = sum(attempt.outcome == Reason.THROTTLED for attempt in agent.attempts)
        told.append(f"{count} of the agent's last {len(agent.attempts)} attempts were throttled")
    if agent.counted:
        count = int(agent.count("throttled"))
        share = 100 * count / agent.counted
        told.append(f"{count} of its {int(agent.counted)} attempts since its start ({share:.0f} %)")
    return told


def _also(cause: str, surroundings: Environment) -> list[str]:
    """What in the surroundings goes with a cause."""
    if cause == "api-version-refused" and surroundings.api_version:
        return [f"--imds-api-version is set to {surroundings.api_version}: its default may be known here"]
    if cause in {"proxy-in-the-way", "metadata-service-silent"} and surroundings.proxies:
        names = ", ".join(f"{name}={value}" for name, value in surroundings.proxies.items())
        return [f"the environment names a proxy ({names}), which the agent does not use"]
    return []


def _told(failed: ServiceAttempt) -> str:
    """What a try came to."""
    retry = "" if failed.retry_after is None else f", Retry-After {failed.retry_after:g} s"
    after = (
        f" after {failed.seconds:.1f} s"
        if failed.trouble in {FailureKind.NO_ANSWER, FailureKind.NO_CONNECTION}
        else ""
    )
    return f"{failed.detail}{after}{retry}"
