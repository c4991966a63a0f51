"""The probe of a running agent: its document, history, health, metrics and last attempts."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from pydantic import TypeAdapter, ValidationError

from sidecar import clock
from sidecar.api import models
from sidecar.core.addresses import parse_address, sorted_addresses
from sidecar.core.egress import EgressState, declared_networks
from sidecar.core.instant import parse_rfc3339
from sidecar.core.outcome import Failure, Reason, Status, UpstreamAnswer
from sidecar.core.parsing import MalformedError, error_object, parse_json
from sidecar.core.probes import FlowFailure, parse_probe
from sidecar.core.reply import printable
from sidecar.core.upstream import UpstreamResponse, interpret
from sidecar.doctor.evidence import AgentAttempt, AgentEvidence, EgressEvidence, ProbeResult
from sidecar.sources import reading

LAST_ATTEMPTS = "/attempts"
"""The path whose response rules need most."""

_DOCUMENT = "/v1/loadbalancer"
_EGRESS = "/v1/egress"
_STATUS = "Azure-LB-Metadata-Status"
_EGRESS_BODY = TypeAdapter(models.EgressKinds)
_ATTEMPTS = TypeAdapter(tuple[AgentAttempt, ...])


class LostError(Exception):
    """There was no response; the text says why."""

    def __init__(self, why: str, *, silent: bool = False) -> None:
        super().__init__(why)
        self.silent = silent
        """Whether there was a connection, and nothing came in time."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A response of the agent."""

    status: int
    headers: Mapping[str, str]
    """Looked up in any case of letters."""
    body: bytes


Fetch = Callable[[str], Awaitable[Fetched]]
"""Requests a path.

Raises:
    LostError: there was no response.
"""


def over_http(session: aiohttp.ClientSession, url: str, *, timeout: float) -> Fetch:
    """Requests over HTTP, which may take so many seconds each."""
    limit = aiohttp.ClientTimeout(total=timeout, sock_connect=0.9 * timeout)

    async def fetch(path: str) -> Fetched:
        try:
            async with session.get(f"{url}{path}", allow_redirects=False, timeout=limit) as response:
                return Fetched(response.status, response.headers, await reading.read(response))
        except aiohttp.ConnectionTimeoutError as error:
            raise LostError(f"no connection within {timeout:g} s") from error
        except TimeoutError as error:
            raise LostError(f"no complete answer within {timeout:g} s", silent=True) from error
        except reading.ERRORS as error:
            raise LostError(reading.failure(error).detail) from error

    return fetch


async def probe_agent(where: str, *, api: Fetch, admin: Fetch | None) -> AgentEvidence:
    """Request everything that an agent reports.

    Args:
        where: Which agent this is, for people.
        api: Requests a path of its HTTP API.
        admin: Requests its probes, metrics and last attempts; ``None`` if their address is not known.
    """
    try:
        document = await api(_DOCUMENT)
    except LostError as error:
        return AgentEvidence(where=where, reached=False, silent=error.silent, detail=str(error))
    headers = document.headers
    status = headers.get(_STATUS, "")
    if status not in set(Status):
        detail = f"what answers there is no agent (HTTP {document.status})"
        return AgentEvidence(where=where, reached=False, detail=detail)
    answer = interpret(
        UpstreamResponse(status=document.status, body=document.body, age=headers.get("Age")),
        node=None,
        last=None,
        now=clock.now(),
    )
    # A header is soon imitated: it counts only with the data, which clients of a proxy are refused.
    if isinstance(answer, Failure) and (
        document.status == 200 or (status == Status.OK and document.status != 403)
    ):
        detail = f"what answers there is no agent, or of another version: {answer.detail}"
        return AgentEvidence(where=where, reached=False, detail=detail)
    bodies, lost = {_DOCUMENT: document.body}, {}
    paths = {
        "/v1/history": api,
        _EGRESS: api,
        **dict.fromkeys(("/livez", "/readyz", "/metrics", LAST_ATTEMPTS), admin),
    }

    async def fetch_also(path: str, fetch: Fetch) -> None:
        try:
            response = await fetch(path)
        except LostError as error:
            lost[path] = str(error)
            return
        # 503 is how probes say that something is wrong.
        if response.status in {200, 503}:
            bodies[path] = response.body
        else:
            lost[path] = f"HTTP {response.status}"

    # Together: one time-out is the most that they cost.
    async with asyncio.TaskGroup() as requests:
        for path, fetch in paths.items():
            if fetch is not None:
                requests.create_task(fetch_also(path, fetch))

    detail = ""
    if document.status == 403 and isinstance(answer, Failure):
        detail = "its document is not given to those who come by way of the API server"
    elif isinstance(answer, Failure):
        said = error_object(document.body).get("detail")
        detail = printable(said) if isinstance(said, str) else answer.detail
    known = answer if isinstance(answer, UpstreamAnswer) else None
    try:
        listed = _ATTEMPTS.validate_python(parse_json(bodies.get(LAST_ATTEMPTS, b"[]")))
    except (MalformedError, ValidationError):
        listed = ()
    attempts = [
        replace(
            each,
            at=printable(each.at),
            outcome=printable(each.outcome),
            detail=printable(each.detail),
        )
        for each in listed
    ]
    last = attempts[0].outcome if attempts else ""
    return AgentEvidence(
        where=where,
        reached=True,
        detail=detail,
        node=printable(headers.get("Azure-LB-Metadata-Node", "")) or None,
        status=Status(status),
        reason=known.reason if known is not None else Reason(last) if last in set(Reason) else None,
        revision=printable(headers.get("Azure-LB-Metadata-Revision", "")) or None,
        changed_at=None if known is None else known.changed_at,
        observed_at=parse_rfc3339(headers.get("Azure-LB-Metadata-Observed-At", "")),
        document=None if known is None else known.document,
        egress=egress_evidence(bodies.get(_EGRESS, b"")),
        overdue=_complaint(bodies.get("/livez")),
        unready=_complaint(bodies.get("/readyz")),
        samples=_samples(bodies.get("/metrics", b"")),
        attempts=attempts,
        bodies=bodies,
        lost=lost,
    )


def egress_evidence(body: bytes) -> EgressEvidence | None:
    """What an agent's ``/v1/egress`` says; ``None`` if that is no such answer."""
    try:
        said = _EGRESS_BODY.validate_python(parse_json(body))
        observed = {parse_address(each["ipAddress"]): each for each in said["observed"]}
        return EgressEvidence(
            state=EgressState(said["state"]),
            configured=sorted_addresses(
                parse_address(address) for path in said["configured"] for address in path["ipAddresses"]
            ),
            declared=declared_networks(said["declared"]),
            observed={address: parse_rfc3339(each["lastSeenAt"] or "") for address, each in observed.items()},
            unlisted=[address for address, each in observed.items() if not each["listed"]],
            probed_at=parse_rfc3339(said["probedAt"] or ""),
            results=[
                ProbeResult(
                    probe=parse_probe(probe["probe"]),
                    family=int(result["family"].removeprefix("ipv")),
                    address=None if result["ipAddress"] is None else parse_address(result["ipAddress"]),
                    inside=result["inside"],
                    failure=None if result["failure"] is None else FlowFailure(result["failure"]),
                    detail=printable(result["detail"]),
                )
                for probe in said["probes"]
                for result in probe["results"]
            ],
        )
    except (MalformedError, ValueError):  # pydantic's is one, too
        return None


def _complaint(body: bytes | None) -> str | None:
    """What a probe reports: empty if it says ``ok``, ``None`` if there was no response."""
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
        return samples  # no exposition after all; what came before it is kept
    return samples
