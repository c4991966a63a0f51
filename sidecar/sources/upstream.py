"""The client of a node agent: what a sidecar reads instead of the metadata service.

It gets ``/v1/loadbalancer`` by conditional requests that the agent holds until the answer changes
(RFC 7240), so a change arrives at once and hardly anything is sent meanwhile.
"""

import re

import aiohttp
from aiohttp import hdrs

from sidecar.clock import Clock
from sidecar.core import upstream
from sidecar.core.backoff import parse_retry_after
from sidecar.core.outcome import Failure, Outcome, Reason, UpstreamAnswer
from sidecar.core.upstream import UpstreamResponse
from sidecar.sources import reading

PATH = "/v1/loadbalancer"

_CONNECT_TIMEOUT = 2.0
"""Seconds: the agent is on the same node, or not there at all."""

_FIRST_WAIT = 5
"""Seconds that an agent without an answer may hold a request, so that the reason is known soon."""

_ETAG = re.compile(r'"[!#-~]{1,100}"')


class UpstreamSource(reading.Client):
    """Reads a node agent over one keep-alive connection, without proxy and without redirects."""

    def __init__(self, *, url: str, node_name: str | None, wait: int, timeout: float, clock: Clock) -> None:
        """Prepare a client; it connects at the first attempt.

        Args:
            url: Scheme, host and port of the agent, without a path.
            node_name: The node whose data are wanted, and no other's; ``None``: any.
            wait: Whole seconds that the agent is to hold a request; 0: it answers at once.
            timeout: Seconds for a whole request, beyond what it is held.
            clock: For ages, and for ``Retry-After`` in the form of a date.
        """
        super().__init__(reading.new_session(Accept="application/json"))
        self._url = f"{url}{PATH}"
        self._node_name = node_name
        self.longest_wait = wait
        self._timeout = timeout
        self._clock = clock
        self._last: UpstreamAnswer | None = None
        self._body: bytes | None = None
        """Of the last answer with one, also of the answer "none"."""
        self._etag: str | None = None
        self._failed = False

    async def fetch(self) -> Outcome:
        """Make one request; it is held until the agent has anything else to answer than the last time."""
        try:
            outcome = await self._attempt()
        except reading.ERRORS as error:
            outcome = reading.failure(error)
        self._failed = isinstance(outcome, Failure)
        return outcome

    async def _attempt(self) -> UpstreamAnswer | Failure:
        if self._last is None:
            wait = min(self.longest_wait, _FIRST_WAIT)
        else:
            # After a failure at once: the recovery is not delayed, and a proxy that cuts long requests off
            # does not cut off each of them.
            wait = 0 if self._failed else self.longest_wait
        headers = {"Prefer": f"wait={wait}"} if wait else {}
        if self._etag is not None:
            headers[hdrs.IF_NONE_MATCH] = self._etag
        started = self._clock()
        async with self._session.get(
            self._url,
            params={} if self._node_name is None else {"node": self._node_name},
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(
                total=wait + self._timeout, connect=min(_CONNECT_TIMEOUT, self._timeout)
            ),
        ) as response:
            body = await reading.read(response)
        if response.status == 200 and reading.compressed(response):
            return Failure(Reason.MALFORMED, detail="the body is compressed", status=200)
        given, now = response.headers, self._clock()
        news = response.status == 200 and body != self._body
        held = upstream.was_held(given.get("Preference-Applied"), elapsed=started.age(now), news=news)
        follows = response.status in {200, 304} and wait < self.longest_wait
        outcome = upstream.interpret(
            UpstreamResponse(
                status=response.status,
                body=body,
                age=given.get(hdrs.AGE),
                node=given.get("Azure-LB-Metadata-Node"),
                agent_status=given.get("Azure-LB-Metadata-Status"),
                retry_after=parse_retry_after(given.get(hdrs.RETRY_AFTER), now=now.utc),
                held=held or follows,
            ),
            node=self._node_name,
            last=None if self._etag is None else self._last,
            now=now,
        )
        if isinstance(outcome, UpstreamAnswer):
            # The next request names this answer.
            self._last = outcome
            if response.status == 200:
                self._body = body
                etag = given.get(hdrs.ETAG, "")
                self._etag = etag if _ETAG.fullmatch(etag) else None
        return outcome
