"""The probe of a running agent: its document, history, health, metrics and last attempts."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from pydantic import TypeAdapter, ValidationError

from sidecar import clock
from sidecar.core.instant import parse_rfc3339
from sidecar.core.outcome import Failure, Reason, Status, UpstreamAnswer
from sidecar.core.parsing import MalformedError, error_object, parse_json
from sidecar.core.reply import printable
from sidecar.core.upstream import UpstreamResponse, interpret
from sidecar.doctor.evidence import AgentAttempt, AgentEvidence
from sidecar.sources import reading

_TIMEOUT = 10.0
"""Seconds for each request: an agent answers at once, unless its machine is very busy."""

_DOCUMENT = "/v1/loadbalancer"
_LAST_ATTEMPTS = "/attempts"
_ATTEMPTS = TypeAdapter(tuple[AgentAttempt, ...])
_FORWARDED_NOTE = "its document is not given to those who come by way of the API server"


class LostError(Exception):
    """There was no answer; the text says why."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer of the agent."""

    status: int
    headers: Mapping[str, str]
    """Looked up in any case of letters."""
    body: bytes


Fetch = Callable[[str], Awaitable[Fetched]]
"""Asks for a path.

Raises:
    LostError: there was no answer.
"""


@dataclass(frozen=True, slots=True)
class AgentProbeResult:
    """What an agent was asked, and what it said."""

    evidence: AgentEvidence
    bodies: Mapping[str, bytes] = field(default_factory=dict)
    """What it answered, by path."""
    lost: Mapping[str, str] = field(default_factory=dict)
    """Why there is no such answer, by path."""

    @property
    def attempts_missing(self) -> str:
        """Why an agent that answers does not tell its last attempts; empty if it does."""
        if not self.evidence.reached or _LAST_ATTEMPTS in self.bodies:
            return ""
        return self.lost.get(_LAST_ATTEMPTS, "its --admin-listen is not known, or not reached by TCP")


def over_http(session: aiohttp.ClientSession, url: str) -> Fetch:
    """Asks over HTTP."""

    async def fetch(path: str) -> Fetched:
        try:
            timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
            async with session.get(f"{url}{path}", allow_redirects=False, timeout=timeout) as response:
                return Fetched(response.status, response.headers, await reading.read(response))
        except reading.ERRORS as error:
            raise LostError(reading.failure(error).detail) from error

    return fetch


async def examine_agent(where: str, *, api: Fetch, admin: Fetch | None) -> AgentProbeResult:
    """Ask an agent for everything that it tells of itself.

    Args:
        where: Whom this asks, for people.
        api: Asks its HTTP API.
        admin: Asks its probes, metrics and last attempts; ``None`` if it is not known where they are.
    """
    try:
        document = await api(_DOCUMENT)
    except LostError as error:
        return AgentProbeResult(AgentEvidence(where=where, reached=False, detail=str(error)))
    if "Azure-LB-Metadata-Status" not in document.headers:
        detail = f"what answers there is no agent (HTTP {document.status})"
        return AgentProbeResult(AgentEvidence(where=where, reached=False, detail=detail))
    bodies, lost = {_DOCUMENT: document.body}, {}
    paths = {"/v1/history": api, **dict.fromkeys(("/livez", "/readyz", "/metrics", _LAST_ATTEMPTS), admin)}
    for path, fetch in paths.items():
        if fetch is None:
            continue
        try:
            bodies[path] = await _body(fetch, path)
        except LostError as error:
            lost[path] = str(error)
    return AgentProbeResult(_evidence(where, document, bodies), bodies, lost)


async def _body(fetch: Fetch, path: str) -> bytes:
    """The body at a path.

    Raises:
        LostError: there is none to be had.
    """
    fetched = await fetch(path)
    if fetched.status not in {200, 503}:
        raise LostError(f"HTTP {fetched.status}")
    return fetched.body


def _evidence(where: str, document: Fetched, bodies: Mapping[str, bytes]) -> AgentEvidence:
    headers = document.headers
    answer = interpret(
        UpstreamResponse(status=document.status, body=document.body, age=headers.get("Age")),
        node=None,
        last=None,
        now=clock.now(),
    )
    known = answer if isinstance(answer, UpstreamAnswer) else None
    attempts = _attempts(bodies.get(_LAST_ATTEMPTS, b"[]"))
    status = headers.get("Azure-LB-Metadata-Status", "")
    return AgentEvidence(
        where=where,
        reached=True,
        detail=_detail(document, answer) if isinstance(answer, Failure) else "",
        node=printable(headers.get("Azure-LB-Metadata-Node", "")) or None,
        status=Status(status) if status in set(Status) else None,
        reason=known.reason if known is not None else _last_reason(attempts),
        revision=printable(headers.get("Azure-LB-Metadata-Revision", "")) or None,
        changed_at=None if known is None else known.changed_at,
        observed_at=parse_rfc3339(headers.get("Azure-LB-Metadata-Observed-At", "")),
        document=None if known is None else known.document,
        overdue=_complaint(bodies.get("/livez")),
        unready=_complaint(bodies.get("/readyz")),
        samples=_samples(bodies.get("/metrics", b"")),
        attempts=attempts,
    )


def _detail(document: Fetched, failure: Failure) -> str:
    if document.status == 403:
        return _FORWARDED_NOTE
    told = error_object(document.body).get("detail")
    return printable(told) if isinstance(told, str) else failure.detail


def _last_reason(attempts: tuple[AgentAttempt, ...]) -> Reason | None:
    word = attempts[0].outcome if attempts else ""
    return Reason(word) if word in set(Reason) else None


def _complaint(body: bytes | None) -> str | None:
    """What a probe complains of: nothing if it says ``ok``, ``None`` if it was not asked."""
    if body is None:
        return None
    text = printable(body.decode("ascii", "replace").strip())
    return "" if text == "ok" else text


def _samples(exposition: bytes) -> dict[str, float]:
    """Samples by name and sorted labels, as ``name{label="value",…}``."""
    samples = {}
    try:
        for family in text_string_to_metric_families(exposition.decode("utf-8", "replace")):
            for sample in family.samples:
                labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
                samples[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    except ValueError:
        return samples  # no exposition after all; what came before is what there is
    return samples


def _attempts(body: bytes) -> tuple[AgentAttempt, ...]:
    """The agent's last attempts, newest first; none if that is no such list."""
    try:
        told = _ATTEMPTS.validate_python(parse_json(body))
    except (MalformedError, ValidationError):
        return ()
    return tuple(
        AgentAttempt(printable(each.at), printable(each.outcome), printable(each.detail)) for each in told
    )
