"""The report of a run, as text for people and as JSON."""

import textwrap
from collections.abc import Sequence

from sidecar.doctor.causes import Diagnosis
from sidecar.doctor.evidence import Findings

_WIDTH = 100


def as_text(findings: Findings, diagnoses: Sequence[Diagnosis]) -> str:
    """The report for people: the cause that explains the others comes first."""
    node = "" if findings.node is None else f"node {findings.node}: "
    count = f"{len(diagnoses)} known {'cause applies' if len(diagnoses) == 1 else 'causes apply'}"
    lines = [f"{node}{count if diagnoses else 'healthy, no known cause applies'}"]
    for number, diagnosis in enumerate(diagnoses, 1):
        cause = diagnosis.cause
        # Backticks are for docs/doctor.md.
        summary, remedy = (text.replace("`", "") for text in (cause.summary, cause.remedy))
        lines += ["", f"{number}. {cause.name} ({diagnosis.confidence}): {summary}"]
        labelled = [*(("found", sentence) for sentence in diagnosis.evidence), ("remedy", remedy)]
        for label, text in (*labelled, ("see", cause.link)):
            lines += textwrap.wrap(
                text,
                width=_WIDTH,
                initial_indent=f"   {label}: ".ljust(12),
                subsequent_indent=" " * 12,
                break_long_words=False,
                break_on_hyphens=False,
            )
    lines += ["", f"looked at: {'; '.join(_looked_at(findings)) or 'nothing'}"]
    lines += [f"note: {note}" for note in findings.notes]
    return "".join(f"{line}\n" for line in lines)


def as_object(findings: Findings, diagnoses: Sequence[Diagnosis]) -> dict[str, object]:
    """The report for programs; members are only ever added."""
    return {
        "node": findings.node,
        "healthy": not diagnoses,
        "causes": [
            {
                "name": diagnosis.cause.name,
                "sure": diagnosis.confidence,
                "summary": diagnosis.cause.summary,
                "evidence": list(diagnosis.evidence),
                "remedy": diagnosis.cause.remedy,
                "link": diagnosis.cause.link,
            }
            for diagnosis in diagnoses
        ],
        "lookedAt": _looked_at(findings),
        "clockAheadSeconds": {whose: round(ahead) for whose, ahead in findings.clocks.items()},
        "notes": list(findings.notes),
    }


def _looked_at(findings: Findings) -> list[str]:
    """Everybody that was sent requests, and whether there were responses."""
    agent, service, cluster = findings.agent, findings.service, findings.cluster
    looked_at = []
    if agent is not None:
        said = f"status {agent.status}" if agent.reached else "no answer"
        looked_at.append(f"the agent, {agent.where} ({said})")
    if service is not None:
        count = len(service.attempts)
        answered = f"{count - len(service.failures)} of {count} tries answered"
        looked_at.append(f"the metadata service, {findings.environment.endpoint} ({answered})")
    if cluster is not None:
        looked_at.append("the API server" if cluster.problem is None else "the API server (failed)")
    return looked_at
