"""The probe of the metadata service: a few spaced requests, and what came back."""

import asyncio
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

import aiohttp

from sidecar import clock
from sidecar.core.backoff import parse_retry_after
from sidecar.core.outcome import Failure, Outcome, Reason, Success
from sidecar.core.parsing import MalformedError, parse_json
from sidecar.core.reply import (
    fallback_version,
    interpret,
    listed_version,
    lists_versions,
    printable,
    refuses_version,
)
from sidecar.doctor.evidence import ServiceAttempt, ServiceEvidence, seconds_ahead
from sidecar.doctor.replies import trouble_of
from sidecar.settings import Settings
from sidecar.sources import reading
from sidecar.sources.imds import PATH, VERSIONS_PATH

_BODY_LIMIT = 64 * 1024
"""Bytes of a body that are kept as evidence."""

_PATIENCE = 2.0
"""How many times longer than the agent to wait, so that slow is told from silent."""

_LONGEST = 15.0
"""Seconds."""

_INTERFACES = "/metadata/instance/network/interface?api-version=2021-02-01&format=json"
_HEADER = {"Metadata": "true"}


@dataclass(frozen=True, slots=True)
class ServiceProbeResult:
    """What was asked of the service, and what it came to."""

    evidence: ServiceEvidence
    exchanges: Mapping[str, ServiceAttempt] = field(default_factory=dict)
    """Every request, by a name for people."""
    ahead: float | None = None
    """Seconds that the own clock is ahead of the service's ``Date``."""


async def examine_service(settings: Settings, *, tries: int) -> ServiceProbeResult:
    """Ask a few times for the document, once without the header, and for public IPs if there is nothing.

    Args:
        settings: Where the service is, and how long the agent waits for it.
        tries: How often to ask for the document; at least 1.
    """
    pause = min(1.0, settings.poll_interval)
    async with reading.new_session() as session:
        asking = _Asking(session, settings)
        outcomes = [await asking.document()]
        for _ in range(tries - 1):
            # Not all at once: the limit is 5 requests a second for the whole machine.
            await asyncio.sleep(pause)
            outcomes.append(await asking.document())
        answer = next((each for each in reversed(outcomes) if isinstance(each, Success)), None)
        bare, public_ips = None, None
        if answer is not None:
            await asyncio.sleep(pause)
            bare = await asking.without_header()
            if answer.document.empty:
                public_ips = await asking.instance_public_ips()
    evidence = ServiceEvidence(
        tries=tuple(asking.tries),
        document=None if answer is None else answer.document,
        dropped=() if answer is None else answer.dropped,
        without_header=bare,
        instance_public_ips=public_ips,
    )
    return ServiceProbeResult(evidence, asking.exchanges, asking.ahead)


class _Asking:
    """Sends requests to the service, and remembers what came back."""

    def __init__(self, session: aiohttp.ClientSession, settings: Settings) -> None:
        self._session = session
        self._endpoint = settings.imds_endpoint
        self._version = settings.imds_api_version
        self._refused: set[str] = set()
        self._timeout = aiohttp.ClientTimeout(
            total=min(_PATIENCE * settings.imds_timeout, _LONGEST), connect=settings.imds_timeout
        )
        self.tries: list[ServiceAttempt] = []
        self.exchanges: dict[str, ServiceAttempt] = {}
        self.ahead: float | None = None

    async def document(self) -> Outcome:
        """Ask for the document, and once more with another api-version, as the agent does."""
        outcome, made = await self._document()
        refused = {*self._refused, self._version}
        fallback = None
        if made.status is not None and refuses_version(made.status, made.body):
            listed = lists_versions(made.body)
            fallback = fallback_version(made.body, refused=refused) if listed else await self._listed(refused)
        if fallback is not None:
            self.exchanges[f"refused-{self._version}"] = made
            self._refused.add(self._version)
            self._version = fallback
            outcome, made = await self._document()
        self.tries.append(made)
        self.exchanges[f"try-{len(self.tries)}"] = made
        return outcome

    async def _listed(self, refused: Collection[str]) -> str | None:
        """The version to use by the service's own list of versions, which it is asked for once."""
        made = self.exchanges.get("versions")
        if made is None:
            _, made = await self._send(VERSIONS_PATH, _HEADER)
            self.exchanges["versions"] = made
        return listed_version(made.body, refused=refused) if made.status == 200 else None

    async def without_header(self) -> ServiceAttempt:
        """Ask without ``Metadata: true``."""
        _, made = await self._send(self._target, {})
        self.exchanges["without-metadata-header"] = made
        return made

    async def instance_public_ips(self) -> list[str] | None:
        """The public IPs that ``/metadata/instance`` lists; ``None`` if it does not answer."""
        _, made = await self._send(_INTERFACES, _HEADER)
        self.exchanges["instance-network"] = made
        if made.status != 200:
            return None
        try:
            return sorted(_public_ips(parse_json(made.body)))
        except MalformedError:
            return None

    @property
    def _target(self) -> str:
        return f"{PATH}?api-version={self._version}&format=json"

    async def _document(self) -> tuple[Outcome, ServiceAttempt]:
        return await self._send(self._target, _HEADER)

    async def _send(self, target: str, sent: Mapping[str, str]) -> tuple[Outcome, ServiceAttempt]:
        asked, headers, body, status = clock.now(), {}, b"", None
        try:
            async with self._session.get(
                f"{self._endpoint}{target}", headers=sent, allow_redirects=False, timeout=self._timeout
            ) as response:
                headers = {name.lower(): value for name, value in response.headers.items()}
                body = await reading.read(response)
                status = response.status
                outcome = _judged(response, body)
        except reading.ERRORS as error:
            outcome = reading.failure(error)
        self._compare_clocks(headers)
        made = ServiceAttempt(at=asked.utc, seconds=asked.age(clock.now()), target=target, sent=sent)
        made = replace(made, status=status, headers=headers, body=body[:_BODY_LIMIT])
        return outcome, _failed(made, outcome) if isinstance(outcome, Failure) else made

    def _compare_clocks(self, headers: Mapping[str, str]) -> None:
        ahead = seconds_ahead(headers.get("date"), now=clock.now().utc)
        if ahead is not None:
            self.ahead = ahead


def _judged(response: aiohttp.ClientResponse, body: bytes) -> Outcome:
    """What a whole response means, as the agent takes it."""
    if reading.compressed(response):
        return Failure(Reason.MALFORMED, detail="the body is compressed", status=response.status)
    retry_after = parse_retry_after(response.headers.get("Retry-After"), now=clock.now().utc)
    return interpret(response.status, body, retry_after=retry_after)


def _failed(made: ServiceAttempt, failure: Failure) -> ServiceAttempt:
    return replace(
        made,
        trouble=trouble_of(failure.reason, failure.detail, status=made.status),
        detail=failure.detail,
        reason=failure.reason,
        retry_after=failure.retry_after,
    )


def _public_ips(interfaces: object) -> Iterator[str]:
    """Public IPs of the interfaces of an instance; all but Basic ones are empty texts."""
    for interface in interfaces if isinstance(interfaces, list) else ():
        for family in ("ipv4", "ipv6"):
            for entry in _list_of(interface, family):
                address = entry.get("publicIpAddress") if isinstance(entry, dict) else None
                if isinstance(address, str) and address:
                    yield printable(address)


def _list_of(interface: object, family: str) -> list[object]:
    part = interface.get(family) if isinstance(interface, dict) else None
    entries = part.get("ipAddress") if isinstance(part, dict) else None
    return entries if isinstance(entries, list) else []
