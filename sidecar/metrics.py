"""The metrics of the agent, in a registry of their own, with few labels and none per node, IP or rule.

``docs/metrics.md`` is made from the declarations here; names, types, labels and help are pinned by
``tests/assets/metrics.txt``.
"""

import math
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

import sidecar
from sidecar.clock import Clock
from sidecar.core import views
from sidecar.core.changes import KINDS
from sidecar.core.document import EMPTY, Document
from sidecar.core.egress import EgressState
from sidecar.core.outcome import Reason, Status
from sidecar.core.probes import FlowFailure, Transport
from sidecar.core.state import Snapshot, State
from sidecar.latest import Watch

PREFIX = "azure_lb_metadata"
PUBLISH_RESULTS = ("written", "skipped", "failed")

_ENTRIES: Mapping[str, Callable[[Document], Sequence[object]]] = {
    "public": lambda document: document.public_ip_addresses,
    "inbound": lambda document: document.inbound_rules,
    "outbound": lambda document: document.outbound_rules,
}
_ADDRESSES: Mapping[str, Callable[[State], Iterable[object]]] = {
    "public": lambda state: views.public_ips(state.document or EMPTY),
    "inbound": lambda state: views.inbound_ips(state.document or EMPTY),
    "outbound": lambda state: views.outbound_ips(state.document or EMPTY),
    "egress": lambda state: state.egress.addresses,
    "observed": lambda state: state.shared_egress.observed,
}

_Made = TypeVar("_Made", Counter, Gauge, Histogram)


class Metrics:
    """Counters and gauges that the parts of the agent feed.

    What follows from the state alone is read from it at scrape time: see :meth:`watch`.
    """

    def __init__(self) -> None:
        # A second sample per counter for its creation time, which nothing here uses.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.label_values: dict[str, Mapping[str, Sequence[str]]] = {}
        """By name without prefix and suffix: labels and their values, none where there is no fixed set."""
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        build = Info(
            "build", "Versions of the agent and of Python.", namespace=PREFIX, registry=self.registry
        )
        build.info({"version": sidecar.__version__, "python": platform.python_version()})
        self.label_values["build"] = {"version": (), "python": ()}
        make = self._make

        self.attempts = make(
            Counter,
            "attempts",
            "Attempts to read the load balancer document, by outcome: ok or a reason.",
            outcome=("ok", *Reason),
        )
        self.attempt_seconds = make(
            Histogram,
            "attempt_duration_seconds",
            "Time that an attempt to read the load balancer document took.",
        )
        self.dropped_entries = make(
            Counter,
            "dropped_entries",
            "Entries left out of a new document, by list and cause: the wrong member, "
            "entry (it is no object) or too-many (those beyond the first 10,000).",
            list=("publicIpAddresses", "inboundRules", "outboundRules"),
            cause=(),
        )
        self.revision_changes = make(Counter, "revision_changes", "Changes of the published document.")
        self.changes = make(
            Counter,
            "changes",
            "Changes of the published document, by what changed: public IPs, frontends of inbound rules, "
            "outbound IPs, or nothing but other members of rules.",
            kind=KINDS,
        )

        self.publishes = make(
            Counter,
            "publishes",
            "Turns of a publisher (node, file, events), by publisher and result: "
            "written, skipped (nothing to do) or failed.",
            publisher=(),
            result=PUBLISH_RESULTS,
        )
        self.publish_seconds = make(
            Histogram, "publish_duration_seconds", "Time that a turn of a publisher took.", publisher=()
        )
        self.publish_lag = make(
            Gauge,
            "publish_lag_seconds",
            "How long a publisher has been behind: there is something to write that it has not written, "
            "or it fails. 0 when it is not.",
            publisher=(),
        )
        self.annotation_bytes = make(
            Gauge, "annotation_bytes", "Bytes of keys and values of our annotations of the Node."
        )
        self.annotation_budget = make(
            Gauge, "annotation_budget_bytes", "Most bytes that those annotations may have; 0 without any."
        )
        self.omitted_annotations = make(
            Gauge, "omitted_annotations", "Annotations left out of the Node because of the budget."
        )
        self.foreign_changes = make(
            Counter,
            "foreign_changes",
            "Readings of the Node that found our annotations changed by somebody else: by another agent with "
            "this prefix (our own field manager did it) or by another.",
            by=("agent", "other"),
        )
        self.removed_annotations = make(
            Counter,
            "removed_annotations",
            "Annotations of ours that were removed since they were not due and somebody else owned them.",
        )
        self.kubernetes_requests = make(
            Counter,
            "kubernetes_requests",
            "Requests to the Kubernetes API server, by method and status code, timeout or error.",
            method=(),
            code=(),
        )

        self.egress_flows = make(
            Counter,
            "egress_flows",
            "Connections to egress probes, by transport, address family and result: answered, inside (an own "
            "or a private address came back) or why no address came.",
            transport=tuple(Transport),
            family=("ipv4", "ipv6"),
            result=("answered", "inside", *FlowFailure),
        )
        self.egress_new_addresses = make(
            Counter,
            "egress_new_addresses",
            "Addresses that egress probes saw connections come from and that were not observed before.",
            family=("ipv4", "ipv6"),
        )

        self.clients = make(Gauge, "http_clients", "Connections that the HTTP API serves at the moment.")
        self.refused_clients = make(
            Counter,
            "http_refused_clients",
            "Connections and requests refused or ended, by cause.",
            cause=("allow-from", "max-clients", "idle", "heads", "max-waiting", "forwarded"),
        )
        self.waiting_clients = make(
            Gauge, "http_waiting_clients", "Requests that wait for a change at the moment."
        )
        self.event_clients = make(
            Gauge, "http_event_clients", "Streams of events that are open at the moment."
        )

        self.dropped_log_lines = make(
            Counter, "log_dropped_lines", "Log lines dropped since standard error did not take them."
        )

    def watch(self, latest: Watch[Snapshot], clock: Clock, *, addresses: bool = False) -> None:
        """Derive the gauges of the state from the newest snapshot at every scrape.

        Args:
            latest: Where the newest snapshot is.
            clock: Called within the event loop.
            addresses: Whether there is a metric that names the addresses.
        """
        make = self._make
        status = make(Gauge, "status", "1 for the present status, 0 for the others.", status=tuple(Status))
        age = make(Gauge, "data_age_seconds", "Age of the last good answer; NaN before the first.")
        entries = make(
            Gauge,
            "entries",
            "Entries of the published document, by list: public IPs, rules.",
            kind=tuple(_ENTRIES),
        )
        last_change = make(
            Gauge,
            "last_change_timestamp_seconds",
            "Unix time of the last change of that kind, also one that an earlier run saw if it is among "
            "the changes remembered; NaN before the first.",
            kind=KINDS,
        )
        egress_state = make(
            Gauge,
            "egress_state",
            "1 for the present state of this agent's egress probes, 0 for the others.",
            state=tuple(EgressState),
        )
        observed = make(
            Gauge,
            "egress_observed_addresses",
            "Addresses that egress probes observed, by address family and by whether they are declared or "
            "configured.",
            family=(),
            listed=(),
        )
        size = make(Gauge, "document_bytes", "Bytes of the canonical document; 0 while there is none.")

        def is_status(word: Status) -> float:
            return float(latest.value.at(clock()).status is word)

        def age_now() -> float:
            observed = latest.value.state.observed
            return math.nan if observed is None else observed.age(clock())

        def count(entries_of: Callable[[Document], Sequence[object]]) -> float:
            return float(len(entries_of(latest.value.state.document or EMPTY)))

        def last_change_of(kind: str) -> float:
            times = (change.at.timestamp() for change in latest.value.state.changes if kind in change.kinds)
            return max(times, default=math.nan)

        def size_now() -> float:
            document = latest.value.state.document
            return 0.0 if document is None else float(len(document.canonical))

        def is_egress_state(word: EgressState) -> float:
            state = latest.value.state
            own = state.shared_egress.state if state.observation.probes else EgressState.OFF
            return float(own is word)

        def count_observed(version: int, *, listed: bool) -> float:
            state = latest.value.state
            seen = [one for one in state.observation.addresses if one.version == version]
            published = state.egress if seen else None
            return float(sum(published is not None and published.lists(one) is listed for one in seen))

        for state_word in EgressState:
            egress_state.labels(state=state_word).set_function(partial(is_egress_state, state_word))
        for version in (4, 6):
            for listed in (True, False):
                labels = {"family": f"ipv{version}", "listed": str(listed).lower()}
                observed.labels(**labels).set_function(partial(count_observed, version, listed=listed))
        age.set_function(age_now)
        size.set_function(size_now)
        for word in Status:
            status.labels(status=word).set_function(partial(is_status, word))
        for kind, entries_of in _ENTRIES.items():
            entries.labels(kind=kind).set_function(partial(count, entries_of))
        for kind in KINDS:
            last_change.labels(kind=kind).set_function(partial(last_change_of, kind))
        if addresses:
            self.registry.register(_AddressInfo(latest))
            self.label_values["address_info"] = {"kind": tuple(_ADDRESSES), "address": ()}

    def _make(self, kind: type[_Made], name: str, text: str, /, **labels: Sequence[str]) -> _Made:
        """Declare a metric; where the values of all labels are known, every sample is there from the start.

        So a first occurrence is an increase.
        """
        metric = kind(name, text, list(labels), namespace=PREFIX, registry=self.registry)
        self.label_values[name] = labels
        if len(labels) == 1:
            ((label, values),) = labels.items()
            for value in values:
                metric.labels(**{label: value})
        return metric


class _AddressInfo(Collector):
    """One sample for each address of the published document."""

    def __init__(self, latest: Watch[Snapshot]) -> None:
        self._latest = latest

    def describe(self) -> Iterator[Metric]:
        yield self._family()

    def collect(self) -> Iterator[Metric]:
        family = self._family()
        state = self._latest.value.state
        for kind, addresses_of in _ADDRESSES.items():
            for address in addresses_of(state):
                family.add_metric([kind, str(address)], 1)
        yield family

    @staticmethod
    def _family() -> GaugeMetricFamily:
        text = "1 for each address of the published document, by what it is. Off unless --metrics-addresses."
        return GaugeMetricFamily(f"{PREFIX}_address_info", text, labels=["kind", "address"])
