"""Rules about the metadata service: from doctor's attempts, and the agent's, to the causes that lie there."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from sidecar.core.outcome import FailureKind, Reason, Status
from sidecar.doctor.causes import Confidence, Diagnosis, found
from sidecar.doctor.evidence import AgentEvidence, Environment, Findings, ServiceAttempt
from sidecar.doctor.replies import Classification, judge, judge_reason

_FEW = 2
"""Throttled attempts of the agent's last ten from which they are reported; a single one is normal."""
_SOME = 3
"""The same for other failures, such as those of a host update."""
_SHARE = 0.1
"""Of all attempts since the start, throttled ones from which they are reported; at least 10 of them."""


def service_diagnoses(findings: Findings) -> Iterator[Diagnosis]:
    """The causes that doctor's own attempts show."""
    service, environment = findings.service, findings.environment
    if service is None:
        return
    grouped: dict[str, list[tuple[ServiceAttempt, Classification]]] = defaultdict(list)
    for each in service.failures:
        verdict = judge(each, environment)
        grouped[verdict.cause].append((each, verdict))
    for cause, group in grouped.items():
        first, verdict = group[0]
        text = first.detail
        if first.kind in {FailureKind.NO_ANSWER, FailureKind.NO_CONNECTION}:
            text += f" after {first.seconds:.1f} s"
        if first.retry_after is not None:
            text += f", Retry-After {first.retry_after:g} s"
        evidence = [f"{len(group)} of {len(service.attempts)} tries: {text}", verdict.because]
        evidence += _also(cause, findings.agent, environment)
        yield found(cause, *evidence, confidence=verdict.confidence)
        if verdict.confidence is Confidence.POSSIBLE and cause == "imds-restriction":
            because = f"{environment.endpoint} is not the well-known address"
            yield found("wrong-endpoint", text, because, confidence=Confidence.POSSIBLE)

    bare = service.without_header
    if bare is not None and bare.status == 200 and not bare.failed:
        cause = "proxy-in-the-way" if environment.default_endpoint else "wrong-endpoint"
        text = "a request without the header Metadata: true was answered with data, which the service refuses"
        yield found(cause, text, confidence=Confidence.LIKELY)
    longest = max((each.seconds for each in service.attempts if not each.failed), default=0.0)
    if longest > environment.timeout:
        text = f"an answer took {longest:.1f} s, and the agent waits {environment.timeout:g} s"
        yield found("metadata-service-slow", text)


def attempt_diagnoses(findings: Findings) -> Iterator[Diagnosis]:
    """The causes that the agent's own attempts show, where doctor's succeed or were not made."""
    agent, service, environment = findings.agent, findings.service, findings.environment
    if environment.upstream or (service is not None and service.failures):
        return
    if agent is None:
        annotations = {} if findings.cluster is None else findings.cluster.annotations
        status, word = annotations.get("status"), annotations.get("reason", "")
        if status in {Status.STARTING, Status.STALE} and word in set(Reason) - {Reason.NO_METADATA}:
            said = judge_reason(Reason(word), environment)
            text = f"the annotations say {status}, {word}"
            yield found(said.cause, text, said.because, confidence=said.confidence)
        return
    failed = [
        ServiceAttempt(
            at=findings.now,
            seconds=0.0,
            status=each.status,
            reason=Reason(each.outcome),
            kind=each.kind,
            detail=each.detail,
        )
        for each in agent.attempts
        if each.outcome in set(Reason) - {Reason.NO_METADATA}
    ]
    verdict = judge(failed[0], environment) if failed else None
    reason = agent.reason
    if agent.status in {Status.STARTING, Status.STALE} and reason not in {None, Reason.NO_METADATA}:
        now = "" if service is None else "the service answers doctor at this moment"
        text = f"the agent is {agent.status}, its last attempt was {reason}"
        if verdict is None:
            verdict = judge_reason(reason, environment)
            also = _also(verdict.cause, agent, environment)
            yield found(verdict.cause, text, now, *also, verdict.because, confidence=verdict.confidence)
            return
        confidence = verdict.confidence
        if confidence is Confidence.CERTAIN and now:
            confidence = Confidence.LIKELY
        also = _also(verdict.cause, agent, environment)
        evidence = (text, failed[0].detail, verdict.because, now, *also)
        yield found(verdict.cause, *evidence, confidence=confidence)
        return

    # The agent has fresh data: a cause that comes and goes.
    throttled = sum(each.reason is Reason.THROTTLED for each in failed)
    often = agent.count("throttled") >= max(10.0, _SHARE * agent.counted)
    if throttled >= _FEW or (not agent.attempts and often):
        yield found("throttled", *_throttling(agent))
    elif verdict is not None and len(failed) >= _SOME:
        text = f"{len(failed)} of the agent's last {len(agent.attempts)} attempts failed: {failed[0].detail}"
        yield found(verdict.cause, text, verdict.because, confidence=Confidence.LIKELY)


def _also(cause: str, agent: AgentEvidence | None, environment: Environment) -> Sequence[str]:
    """What else is known that goes with a cause."""
    if cause == "throttled" and agent is not None and agent.reached:
        return _throttling(agent)
    if cause == "api-version-refused" and environment.api_version:
        return [f"--imds-api-version is set to {environment.api_version}: its default may be known here"]
    if cause in {"proxy-in-the-way", "metadata-service-silent"} and environment.proxies:
        names = ", ".join(f"{name}={value}" for name, value in environment.proxies.items())
        return [f"the environment names a proxy ({names}), which the agent does not use"]
    return []


def _throttling(agent: AgentEvidence) -> Sequence[str]:
    """How much of the agent's attempts is throttled."""
    sentences = []
    if agent.attempts:
        count = sum(attempt.outcome == Reason.THROTTLED for attempt in agent.attempts)
        sentences.append(f"{count} of the agent's last {len(agent.attempts)} attempts were throttled")
    if agent.counted:
        count = int(agent.count("throttled"))
        share = 100 * count / agent.counted
        sentences.append(f"{count} of its {int(agent.counted)} attempts since its start ({share:.0f} %)")
    return sentences
