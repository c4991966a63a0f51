"""The metrics of the agent, in a registry of their own, with few labels and none per node, IP or rule."""

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

import sidecar
from sidecar.clock import Clock
from sidecar.core.outcome import Reason, Status
from sidecar.core.state import Snapshot
from sidecar.latest import Latest

__all__ = ["Metrics"]

_PREFIX = "azure_lb_metadata"
_DOCUMENT_LISTS = ("publicIpAddresses", "inboundRules", "outboundRules")


class Metrics:
    """Counters and gauges that the parts of the agent feed.

    What follows from the state alone is read from it at scrape time: see :meth:`watch`.
    """

    def __init__(self) -> None:
        # A second sample per counter for its creation time, which nobody here asks for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        self.attempts = Counter(
            "attempts",
            "Attempts to read the load balancer document, by outcome: ok or a reason.",
            ["outcome"],
            namespace=_PREFIX,
            registry=registry,
        )
        self.attempt_seconds = Histogram(
            "attempt_duration_seconds",
            "Time that an attempt to read the load balancer document took.",
            namespace=_PREFIX,
            registry=registry,
        )
        self.dropped_entries = Counter(
            "dropped_entries",
            "Entries left out of a new document because they are wrong, by list and wrong member.",
            ["list", "cause"],
            namespace=_PREFIX,
            registry=registry,
        )
        self.revision_changes = Counter(
            "revision_changes",
            "Changes of the published document.",
            namespace=_PREFIX,
            registry=registry,
        )
        self.publishes = Counter(
            "publishes",
            "Turns of a publisher, by publisher and result: written, skipped (nothing to do) or failed.",
            ["publisher", "result"],
            namespace=_PREFIX,
            registry=registry,
        )
        self.publish_seconds = Histogram(
            "publish_duration_seconds",
            "Time that a turn of a publisher took.",
            ["publisher"],
            namespace=_PREFIX,
            registry=registry,
        )
        self.kubernetes_requests = Counter(
            "kubernetes_requests",
            "Requests to the Kubernetes API server, by method and status code or error.",
            ["method", "code"],
            namespace=_PREFIX,
            registry=registry,
        )
        self.clients = Gauge(
            "http_clients",
            "Connections that the HTTP API serves at the moment.",
            namespace=_PREFIX,
            registry=registry,
        )
        self.refused_clients = Counter(
            "http_refused_clients",
            "Connections and requests refused, by cause.",
            ["cause"],
            namespace=_PREFIX,
            registry=registry,
        )
        self.waiting_clients = Gauge(
            "http_waiting_clients",
            "Requests that wait for a change at the moment.",
            namespace=_PREFIX,
            registry=registry,
        )
        self.event_clients = Gauge(
            "http_event_clients",
            "Streams of events that are open at the moment.",
            namespace=_PREFIX,
            registry=registry,
        )
        build = Gauge("build", "Version of the agent.", ["version"], namespace=_PREFIX, registry=registry)
        build.labels(version=sidecar.__version__).set(1)
        for outcome in ("ok", *Reason):
            self.attempts.labels(outcome=outcome)

    def watch(self, latest: Latest[Snapshot], clock: Clock) -> None:
        """Derive the gauges of the state from the newest snapshot at every scrape.

        ``clock`` is called within the event loop.
        """
        status = Gauge(
            "status",
            "1 for the present status, 0 for the others.",
            ["status"],
            namespace=_PREFIX,
            registry=self.registry,
        )
        for name in Status:
            status.labels(status=name).set_function(partial(_is_status, latest, name))
        age = Gauge(
            "data_age_seconds",
            "Age of the last good answer; NaN before the first.",
            namespace=_PREFIX,
            registry=self.registry,
        )
        age.set_function(partial(_age, latest, clock))
        entries = Gauge(
            "entries",
            "Entries of the published document, by list.",
            ["list"],
            namespace=_PREFIX,
            registry=self.registry,
        )
        for index, list_name in enumerate(_DOCUMENT_LISTS):
            entries.labels(list=list_name).set_function(partial(_entries, latest, index))


def _is_status(latest: Latest[Snapshot], status: Status) -> float:
    return float(latest.value.status is status)


def _age(latest: Latest[Snapshot], clock: Clock) -> float:
    observed = latest.value.state.observed
    return float("nan") if observed is None else observed.age(clock())


def _entries(latest: Latest[Snapshot], index: int) -> float:
    document = latest.value.state.document
    if document is None:
        return 0.0
    lists = (document.public_ip_addresses, document.inbound_rules, document.outbound_rules)
    return float(len(lists[index]))
