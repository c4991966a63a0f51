"""The simulated service without its sockets: conditions, their changes over time, and judgement."""

import asyncio
import ipaddress
import logging
import random
import time
from collections.abc import Callable, Mapping

from pydantic import JsonValue

from sidecar.simulator.addressing import personalise
from sidecar.simulator.answers import encode
from sidecar.simulator.composition import composed, is_absent, origin, rotated, rotates
from sidecar.simulator.conditions import Conditions, DocumentSettings, FaultSettings, Network
from sidecar.simulator.counters import Call, Counters
from sidecar.simulator.limit import RateLimit
from sidecar.simulator.scenario import Scenario, checked
from sidecar.simulator.strikes import Strike, concerns, struck

_logger = logging.getLogger(__name__)


class Simulation:
    """What the service would say now.

    ``time`` gives seconds of any steady clock, ``wall`` seconds since 1970 (for Retry-After as a
    date). Steps of the scenario take effect when anything is asked after their time. ``begun`` is
    set whenever a scenario is loaded, for whoever waits for the next step.
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
        """Begins the scenario from its start; counters stay."""
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
        self._strikes_left = self._conditions.fault.times if self._conditions.fault else None
        self._log_conditions()

    # --- Over time

    @property
    def conditions(self) -> Conditions:
        """The conditions now."""
        self.advance()
        return self._conditions

    @property
    def strikes_left(self) -> int | None:
        """How many more requests the fault strikes; None is without end."""
        return self._strikes_left

    @property
    def elapsed(self) -> float:
        """Seconds since the scenario began, or began anew."""
        return self._time() - self._began

    def advance(self) -> None:
        """Takes every step that is due."""
        every = self.scenario.repeat_every
        if every is not None and self.elapsed >= every:
            self._begin(self._began + every * (self.elapsed // every))
        steps = self.scenario.steps
        while self._steps_taken < len(steps) and steps[self._steps_taken].at <= self.elapsed:
            self._steps_taken += 1
            self._change(steps[self._steps_taken - 1].changes())

    def seconds_to_next_step(self) -> float | None:
        """How long the conditions stay if nobody changes them; None is for ever."""
        self.advance()
        steps = self.scenario.steps
        if self._steps_taken < len(steps):
            return steps[self._steps_taken].at - self.elapsed
        every = self.scenario.repeat_every
        return None if every is None else every - self.elapsed

    # --- Changes by hand; later steps of the scenario still come

    def set_document(self, document: DocumentSettings | str | Mapping[str, object]) -> None:
        """What everyone without a document of their own is told: a name, or settings.

        Raises:
            ScenarioError: There is no such document.
        """
        self.change({"document": document})

    def set_fault(self, fault: FaultSettings | str | Mapping[str, object]) -> None:
        """The fault from now on: a name, or settings.

        Raises:
            ScenarioError: There is no such fault.
        """
        self.change({"fault": fault})

    def clear_fault(self) -> None:
        """No fault from now on."""
        self.change({"fault": None})

    def set_address(self, network: str, document: DocumentSettings | str | Mapping[str, object]) -> None:
        """What callers from one address or network are told.

        Raises:
            ScenarioError: It is no network, or there is no such document.
        """
        known: dict[Network, DocumentSettings] = self.conditions.addresses
        self.change({"addresses": {**known, network: document}})

    def change(self, changes: Mapping[str, object]) -> None:
        """Changes members of the conditions, by their names in scenarios; the rest stays.

        Raises:
            ScenarioError: A name or a value is wrong; nothing is changed.
        """
        self.advance()
        wanted = checked(Conditions, changes)
        self._change({name: getattr(wanted, name) for name in wanted.model_fields_set})

    def _change(self, changes: dict[str, object]) -> None:
        before = self._conditions
        self._conditions = before.model_copy(update=changes)
        if "fault" in changes:
            self._strikes_left = self._conditions.fault.times if self._conditions.fault else None
        if self._conditions != before:
            self._log_conditions()

    def _log_conditions(self) -> None:
        fault = self._conditions.fault
        _logger.info(
            "at %.1f s: document %s, fault %s, %d callers with documents of their own, rate limit %s",
            self.elapsed,
            origin(self._conditions.document),
            fault.name if fault else "none",
            len(self._conditions.addresses),
            "on" if self._conditions.rate_limit else "off",
        )

    # --- Judgement of one request

    def allowed(self, caller: str) -> bool:
        """Whether the caller is within its five requests a second; counts this one."""
        return not self.conditions.rate_limit or self._limit.take(caller, self._time())

    def strike(self, call: Call) -> Strike | None:
        """The fault that meets this request, if any; counts it."""
        settings = self.conditions.fault
        if settings is None or not concerns(settings, call.path):
            return None
        if settings.probability < 1 and self._random.random() >= settings.probability:
            return None
        if self._strikes_left is not None:
            self._strikes_left -= 1
            if self._strikes_left == 0:
                self._change({"fault": None})
        return struck(settings, call, self._wall())

    # --- Documents

    def document_settings(self, caller: str) -> DocumentSettings:
        """The document this caller is told about: of the narrowest network that holds it."""
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
        """The document for a caller as JSON; None is "no load balancer metadata"."""
        settings = self.document_settings(caller)
        document = composed(settings)
        if self.conditions.addressing == "per-caller":
            document = personalise(document, ipaddress.ip_address(caller))
        return document

    def document_body(self, caller: str) -> bytes | None:
        """The body of the next answer to a caller; None is "no load balancer metadata"."""
        settings = self.document_settings(caller)
        if settings.raw is not None:
            return settings.raw.encode()
        if is_absent(settings):
            return None
        document = self.document(caller)
        self._answers += 1
        return encode(rotated(document, self._answers) if rotates(settings) else document)
