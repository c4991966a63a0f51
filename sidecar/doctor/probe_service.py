"""The probe of the metadata service: a few spaced requests, and what came back."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

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
from sidecar.settings import Settings
from sidecar.sources import reading
from sidecar.sources.imds import PATH, VERSIONS_PATH

_BODY_LIMIT = 64 * 1024
"""Bytes of a body that are kept as evidence."""

_TIMEOUT_FACTOR = 2.0
"""How many times longer than the agent to wait, so that a slow service is distinguished from a silent one."""

_LONGEST_TIMEOUT = 15.0
"""Seconds."""

_INTERFACES = "/metadata/instance/network/interface?api-version=2021-02-01&format=json"
_HEADER = {"Metadata": "true"}


async def probe_service(settings: Settings, *, tries: int) -> ServiceEvidence:
    """Read the document a few times, once without the header, and public IPs if there is nothing.

    Args:
        settings: Where the service is, and how long the agent waits for it.
        tries: How often to read the document; at least 1.
    """
    pause = min(1.0, settings.poll_interval)
    async with reading.new_session() as session:
        client = _ServiceClient(session, settings)
        outcomes = [await client.document()]
        for _ in range(tries - 1):
            # Not all at once: the limit is 5 requests a second for the whole machine.
            await asyncio.sleep(pause)
            outcomes.append(await client.document())
        answer = next((each for each in reversed(outcomes) if isinstance(each, Success)), None)
        bare, public_ips = None, None
        if answer is not None:
            await asyncio.sleep(pause)
            _, bare = await client.send(client.target, {})
            client.exchanges["without-metadata-header"] = bare
            if answer.document.empty:
                _, interfaces = await client.send(_INTERFACES, _HEADER)
                client.exchanges["instance-network"] = interfaces
                public_ips = _public_ips(interfaces)
    return ServiceEvidence(
        attempts=tuple(client.attempts),
        document=None if answer is None else answer.document,
        dropped=() if answer is None else answer.dropped,
        without_header=bare,
        instance_public_ips=public_ips,
        exchanges=client.exchanges,
        clock_ahead=client.clock_ahead,
    )


class _ServiceClient:
    """Sends requests to the service, and keeps what came back."""

    def __init__(self, session: aiohttp.ClientSession, settings: Settings) -> None:
        self._session = session
        self._endpoint = settings.imds_endpoint
        self._version = settings.imds_api_version
        self._refused: set[str] = set()
        self._timeout = aiohttp.ClientTimeout(
            total=min(_TIMEOUT_FACTOR * settings.imds_timeout, _LONGEST_TIMEOUT),
            connect=settings.imds_timeout,
        )
        self.attempts: list[ServiceAttempt] = []
        self.exchanges: dict[str, ServiceAttempt] = {}
        self.clock_ahead: float | None = None

    @property
    def target(self) -> str:
        """Path and query of the document."""
        return f"{PATH}?api-version={self._version}&format=json"

    async def document(self) -> Outcome:
        """Read the document, and once more with another api-version if that is refused, as the agent does."""
        outcome, made = await self.send(self.target, _HEADER)
        refused = {*self._refused, self._version}
        fallback = None
        if made.status is not None and refuses_version(made.status, made.body):
            if lists_versions(made.body):
                fallback = fallback_version(made.body, refused=refused)
            else:
                # The service's own list of versions is read once.
                if "versions" not in self.exchanges:
                    _, self.exchanges["versions"] = await self.send(VERSIONS_PATH, _HEADER)
                versions = self.exchanges["versions"]
                if versions.status == 200:
                    fallback = listed_version(versions.body, refused=refused)
        if fallback is not None:
            self.exchanges[f"refused-{self._version}"] = made
            self._refused.add(self._version)
            self._version = fallback
            outcome, made = await self.send(self.target, _HEADER)
        self.attempts.append(made)
        self.exchanges[f"try-{len(self.attempts)}"] = made
        return outcome

    async def send(self, target: str, sent: Mapping[str, str]) -> tuple[Outcome, ServiceAttempt]:
        """Send a GET with these headers; its outcome is what the agent would make of the response."""
        asked, headers, body, status = clock.now(), {}, b"", None
        outcome: Outcome
        try:
            async with self._session.get(
                f"{self._endpoint}{target}", headers=sent, allow_redirects=False, timeout=self._timeout
            ) as response:
                headers = {name.lower(): value for name, value in response.headers.items()}
                body = await reading.read(response)
                status = response.status
                if reading.compressed(response):
                    outcome = Failure(Reason.MALFORMED, detail="the body is compressed", status=status)
                else:
                    retry_after = parse_retry_after(response.headers.get("Retry-After"), now=clock.now().utc)
                    outcome = interpret(status, body, retry_after=retry_after)
        except reading.ERRORS as error:
            outcome = reading.failure(error)
        now = clock.now()
        ahead = seconds_ahead(headers.get("date"), now=now.utc)
        self.clock_ahead = self.clock_ahead if ahead is None else ahead
        made = ServiceAttempt(
            at=asked.utc,
            seconds=asked.age(now),
            target=target,
            sent=sent,
            status=status,
            headers=headers,
            body=body[:_BODY_LIMIT],
        )
        if isinstance(outcome, Failure):
            made = replace(
                made,
                reason=outcome.reason,
                kind=outcome.kind,
                detail=outcome.detail,
                retry_after=outcome.retry_after,
            )
        return outcome, made


def _public_ips(made: ServiceAttempt) -> list[str] | None:
    """Public IPs of the instance's interfaces; ``None`` if there is no such response.

    All but Basic SKU addresses are empty texts there.
    """
    if made.status != 200:
        return None
    try:
        interfaces = parse_json(made.body)
    except MalformedError:
        return None
    found = []
    for interface in interfaces if isinstance(interfaces, list) else ():
        for family in ("ipv4", "ipv6"):
            part = interface.get(family) if isinstance(interface, dict) else None
            entries = part.get("ipAddress") if isinstance(part, dict) else None
            for entry in entries if isinstance(entries, list) else ():
                address = entry.get("publicIpAddress") if isinstance(entry, dict) else None
                if isinstance(address, str) and address:
                    found.append(printable(address))
    return sorted(found)
