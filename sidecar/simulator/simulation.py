"""The simulated service without its sockets: its conditions, their changes over time, and its documents."""

import asyncio
import ipaddress
import logging
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from types import MappingProxyType

from pydantic import JsonValue

from sidecar.simulator.addressing import personalise
from sidecar.simulator.answers import Reply, encode
from sidecar.simulator.conditions import (
    Behaviour,
    DocumentSettings,
    FaultSettings,
    Network,
    Scenario,
    checked,
)
from sidecar.simulator.documents import DOCUMENTS, Amounts
from sidecar.simulator.faults import DELAYS, FAULTS, Action

LOADBALANCER = "/metadata/loadbalancer"
"""The path of the endpoint that this project reads."""

REQUESTS_PER_SECOND = 5.0
BURST = 5.0

OTHER = "(other)"
"""The key in the counters of everything beyond the first 256 different paths or callers."""

_MANY_CALLERS = 1024
_MANY_KEYS = 256

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request as it came.

    ``headers`` and ``parameters`` keep their order and repetitions; ``caller`` is an address.
    """

    method: str
    path: str
    caller: str
    headers: tuple[tuple[str, str], ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()

    def header(self, name: str) -> str | None:
        """The first header of that name, ignoring case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass(frozen=True, kw_only=True)
class InjectedFault:
    """A fault that meets one request, with every default filled in.

    ``delay`` is in seconds; ``size`` in bytes, None for the usual one.
    """

    action: Action
    answer: Reply | None = None
    delay: float = 0
    size: int | None = None
    chunked: bool = False


class Simulation:
    """What the service replies now.

    ``time`` gives seconds of any steady clock, ``wall`` seconds since 1970 (for Retry-After as a
    date). A step of the scenario takes effect at the first use after its time. ``begun`` is set
    whenever a scenario is loaded, for a task that waits for the next step.
    """

    def __init__(
        self,
        scenario: Scenario | None = None,
        *,
        time: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._time = time
        self._wall = wall
        self.counters = Counters()
        self.begun = asyncio.Event()
        self.load(scenario or Scenario())

    def load(self, scenario: Scenario) -> None:
        """Begin the scenario from its start; counters stay."""
        self.scenario = scenario
        self._random = random.Random(scenario.seed)
        self._limit = RateLimit()
        self._answers = 0
        self._begin(self._time())
        self.begun.set()

    def _begin(self, now: float) -> None:
        self._began = now
        self._steps_taken = 0
        self._conditions = self.scenario.conditions()
        self.strikes_left = self._conditions.fault.times if self._conditions.fault else None
        """How many more requests the fault strikes; None: without end."""
        self._log_conditions()

    # --- Over time

    @property
    def conditions(self) -> Behaviour:
        """The conditions now."""
        self.advance()
        return self._conditions

    @property
    def elapsed(self) -> float:
        """Seconds since the scenario began, or began again."""
        return self._time() - self._began

    def advance(self) -> None:
        """Take every step that is due."""
        every = self.scenario.repeat_every
        if every is not None and self.elapsed >= every:
            self._begin(self._began + every * (self.elapsed // every))
        steps = self.scenario.steps
        while self._steps_taken < len(steps) and steps[self._steps_taken].at <= self.elapsed:
            self._steps_taken += 1
            self._change(steps[self._steps_taken - 1].changes())

    def seconds_to_next_step(self) -> float | None:
        """Seconds until the scenario changes the conditions; None: never."""
        self.advance()
        steps = self.scenario.steps
        if self._steps_taken < len(steps):
            return steps[self._steps_taken].at - self.elapsed
        every = self.scenario.repeat_every
        return None if every is None else every - self.elapsed

    # --- Changes by hand; later steps of the scenario still come

    def set_document(self, document: DocumentSettings | str | Mapping[str, object]) -> None:
        """Set the document for callers without one of their own: a name, or settings.

        Raises:
            ScenarioError: There is no such document.
        """
        self.change({"document": document})

    def set_fault(self, fault: FaultSettings | str | Mapping[str, object]) -> None:
        """Set the fault from now on: a name, or settings.

        Raises:
            ScenarioError: There is no such fault.
        """
        self.change({"fault": fault})

    def clear_fault(self) -> None:
        """Clear the fault."""
        self.change({"fault": None})

    def set_address(self, network: str, document: DocumentSettings | str | Mapping[str, object]) -> None:
        """Set the document for callers from one address or network.

        Raises:
            ScenarioError: It is no network, or there is no such document.
        """
        known: dict[Network, DocumentSettings] = self.conditions.addresses
        self.change({"addresses": {**known, network: document}})

    def change(self, changes: Mapping[str, object]) -> None:
        """Change members of the conditions, by their names in scenarios; the rest stays.

        Raises:
            ScenarioError: A name or a value is wrong; nothing is changed.
        """
        self.advance()
        wanted = checked(Behaviour, changes)
        self._change({name: getattr(wanted, name) for name in wanted.model_fields_set})

    def _change(self, changes: dict[str, object]) -> None:
        before = self._conditions
        self._conditions = before.model_copy(update=changes)
        if "fault" in changes:
            self.strikes_left = self._conditions.fault.times if self._conditions.fault else None
        if self._conditions != before:
            self._log_conditions()

    def _log_conditions(self) -> None:
        fault, document = self._conditions.fault, self._conditions.document
        given = document.model_fields_set
        _logger.info(
            "at %.1f s: document %s, fault %s, %d callers with documents of their own, rate limit %s",
            self.elapsed,
            next((kind for kind in ("raw", "inline") if kind in given), document.name or "all"),
            fault.name if fault else "none",
            len(self._conditions.addresses),
            "on" if self._conditions.rate_limit else "off",
        )

    # --- One request

    def allowed(self, caller: str) -> bool:
        """Whether the caller is within its five requests a second; counts this one."""
        return not self.conditions.rate_limit or self._limit.take(caller, self._time())

    def injected_fault(self, call: Call) -> InjectedFault | None:
        """The fault that strikes this request, if any; counts it."""
        settings = self.conditions.fault
        if settings is None:
            return None
        everywhere = FAULTS[settings.name].everywhere if settings.everywhere is None else settings.everywhere
        if not everywhere and call.path != LOADBALANCER and not call.path.startswith(f"{LOADBALANCER}/"):
            return None
        if settings.probability < 1 and self._random.random() >= settings.probability:
            return None
        if self.strikes_left is not None:
            self.strikes_left -= 1
            if self.strikes_left == 0:
                self._change({"fault": None})
        return injected(settings, call, self._wall())

    def document_settings(self, caller: str) -> DocumentSettings:
        """The document settings for a caller: those of the narrowest network that holds it."""
        conditions = self.conditions
        address = ipaddress.ip_address(caller)
        networks = [
            network
            for network in map(ipaddress.ip_network, conditions.addresses)
            if address.version == network.version and address in network
        ]
        if not networks:
            return conditions.document
        return conditions.addresses[str(max(networks, key=lambda network: network.prefixlen))]

    def document(self, caller: str) -> JsonValue:
        """The document for a caller as JSON; None is "no load balancer metadata", or a body that is raw."""
        settings = self.document_settings(caller)
        if settings.raw is not None:
            return None
        if "inline" in settings.model_fields_set:
            document = settings.inline
        else:
            amounts = Amounts(rules=settings.rules, outbound_ips=settings.outbound_ips)
            document = DOCUMENTS[settings.name or "all"].build(amounts)
        inner = document.get("loadbalancer") if isinstance(document, dict) else None
        if isinstance(document, dict) and isinstance(inner, dict):
            lists = {name: value for name, value in inner.items() if name not in settings.omit}
            lists.update(settings.replace.items())
            document = {**document, "loadbalancer": lists}
        if self.conditions.addressing == "per-caller":
            document = personalise(document, ipaddress.ip_address(caller))
        return document

    def document_body(self, caller: str) -> bytes | None:
        """The body of the next reply to a caller; None is "no load balancer metadata"."""
        settings = self.document_settings(caller)
        if settings.raw is not None:
            return settings.raw.encode()
        document = self.document(caller)
        # An inline null is a document, if a wrong one.
        if document is None and "inline" not in settings.model_fields_set:
            return None
        self._answers += 1
        if settings.rotate or (settings.name is not None and DOCUMENTS[settings.name].rotates):
            document = rotated(document, self._answers)
        return encode(document)


def injected(settings: FaultSettings, call: Call, wall: float) -> InjectedFault:
    """What the fault does to this request; ``wall`` is seconds since 1970."""
    fault = FAULTS[settings.name]
    reply = fault.answer
    if reply is not None:
        body = reply.body.replace(b"<UrlPath>", call.path.encode()).replace(b"<Method>", call.method.encode())
        headers = dict(reply.headers)
        wait = fault.retry_after if settings.retry_after is None else settings.retry_after
        if wait is not None:
            date = fault.retry_after_date if settings.retry_after_date is None else settings.retry_after_date
            headers["Retry-After"] = (
                formatdate(math.ceil(wall + wait), usegmt=True) if date else str(math.ceil(wait))
            )
        reply = Reply(
            status=settings.status or reply.status,
            body=body if settings.body is None else settings.body.encode(),
            content_type=settings.content_type or reply.content_type,
            server=reply.server,
            headers=MappingProxyType({**headers, **settings.headers}),
        )
    return InjectedFault(
        action=fault.action,
        answer=reply,
        delay=DELAYS.get(fault.action, 0) if settings.delay is None else settings.delay,
        size=settings.size,
        chunked=fault.chunked,
    )


def rotated(document: JsonValue, turns: int) -> JsonValue:
    """The document with every list rotated by so many places."""
    if isinstance(document, dict):
        return {name: rotated(value, turns) for name, value in document.items()}
    if isinstance(document, list) and document:
        places = turns % len(document)
        return document[places:] + document[:places]
    return document


class Counters:
    """Requests by path and caller, answers by status.

    The words ``hang`` and ``reset`` stand among the statuses for requests that got no answer.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self.reset()

    def reset(self) -> None:
        """Count from zero again; waiting tasks keep waiting."""
        self.requests = 0
        self.by_path: Counter[str] = Counter()
        self.by_caller: Counter[str] = Counter()
        self.by_status: Counter[str] = Counter()
        self.last_request: Call | None = None

    def asked(self, call: Call) -> None:
        """Count a request when it has come."""
        self.requests += 1
        self.last_request = call
        _add(self.by_path, call.path)
        _add(self.by_caller, call.caller)
        for count, future in self._waiting:
            if self.requests >= count and not future.done():
                future.set_result(None)

    def answered(self, status: int | str) -> None:
        """Count a reply when it begins, or what happened in its place."""
        self.by_status[str(status)] += 1

    async def reached(self, count: int) -> None:
        """Wait until so many requests have come since the last reset."""
        if self.requests >= count:
            return
        entry = (count, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        try:
            await entry[1]
        finally:
            self._waiting.remove(entry)


def _add(counter: Counter[str], key: str) -> None:
    counter[key if key in counter or len(counter) < _MANY_KEYS else OTHER] += 1


@dataclass
class _Bucket:
    tokens: float
    filled_at: float
    """Seconds of the clock of ``RateLimit.take``."""


class RateLimit:
    """A token bucket for each caller. Refused requests cost nothing."""

    def __init__(self, *, rate: float = REQUESTS_PER_SECOND, burst: float = BURST) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: dict[str, _Bucket] = {}

    def take(self, caller: str, now: float) -> bool:
        """Whether the caller may have one more answer at ``now``, in seconds of any steady clock."""
        bucket = self._buckets.get(caller)
        if bucket is None:
            if len(self._buckets) >= _MANY_CALLERS:
                # A full bucket says the same as none.
                self._buckets = {
                    caller: bucket
                    for caller, bucket in self._buckets.items()
                    if self._level(bucket, now) < self._burst
                }
            bucket = self._buckets[caller] = _Bucket(tokens=self._burst, filled_at=now)
        bucket.tokens = self._level(bucket, now)
        bucket.filled_at = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def _level(self, bucket: _Bucket, now: float) -> float:
        return min(self._burst, bucket.tokens + max(0.0, now - bucket.filled_at) * self._rate)
