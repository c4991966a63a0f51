"""The report of a run, as text for people and as JSON."""

import textwrap
from collections.abc import Iterator, Sequence

from sidecar.doctor.causes import Diagnosis
from sidecar.doctor.probe import ProbeResult

_WIDTH = 100


def as_text(examination: ProbeResult, diagnoses: Sequence[Diagnosis]) -> str:
    """The report for people: the cause that explains the others comes first."""
    node = "" if examination.node is None else f"node {examination.node}: "
    count = f"{len(diagnoses)} known {'cause applies' if len(diagnoses) == 1 else 'causes apply'}"
    lines = [f"{node}{count if diagnoses else 'healthy, no known cause applies'}"]
    for number, diagnosis in enumerate(diagnoses, 1):
        lines += ["", *_paragraph(number, diagnosis)]
    lines += ["", f"looked at: {'; '.join(_looked_at(examination)) or 'nothing'}"]
    lines += [f"note: {note}" for note in examination.findings.notes]
    return "".join(f"{line}\n" for line in lines)


def _paragraph(number: int, diagnosis: Diagnosis) -> Iterator[str]:
    cause = diagnosis.cause
    yield f"{number}. {cause.name} ({diagnosis.sure}): {_plain(cause.summary)}"
    for sentence in diagnosis.evidence:
        yield from _labelled("found", sentence)
    yield from _labelled("remedy", _plain(cause.remedy))
    yield from _labelled("see", cause.link)


def _plain(markdown: str) -> str:
    return markdown.replace("`", "")


def _labelled(label: str, text: str) -> list[str]:
    start = f"   {label}: ".ljust(12)
    return textwrap.wrap(
        text,
        width=_WIDTH,
        initial_indent=start,
        subsequent_indent=" " * 12,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _looked_at(examination: ProbeResult) -> Iterator[str]:
    findings = examination.findings
    agent, service, cluster = findings.agent, findings.service, findings.cluster
    if agent is not None:
        said = f"status {agent.status}" if agent.reached else "no answer"
        yield f"the agent, {agent.where} ({said})"
    if service is not None:
        answered = len(service.tries) - len(service.failures)
        yield (
            f"the metadata service, {findings.surroundings.endpoint} "
            f"({answered} of {len(service.tries)} tries answered)"
        )
    if cluster is not None:
        yield "the API server" if cluster.problem is None else "the API server (failed)"


def as_object(examination: ProbeResult, diagnoses: Sequence[Diagnosis]) -> dict[str, object]:
    """The report for programs; members are only ever added."""
    findings = examination.findings
    return {
        "node": examination.node,
        "healthy": not diagnoses,
        "causes": [
            {
                "name": diagnosis.cause.name,
                "sure": diagnosis.sure,
                "summary": diagnosis.cause.summary,
                "evidence": list(diagnosis.evidence),
                "remedy": diagnosis.cause.remedy,
                "link": diagnosis.cause.link,
            }
            for diagnosis in diagnoses
        ],
        "lookedAt": list(_looked_at(examination)),
        "clockAheadSeconds": {who: round(ahead) for who, ahead in findings.clocks.items()},
        "notes": list(findings.notes),
    }
