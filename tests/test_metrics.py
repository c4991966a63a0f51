"""The metrics and what they are read from."""

import math

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

import sidecar
from sidecar.core.document import EMPTY, Document
from sidecar.core.outcome import NONE, Outcome, Reason
from sidecar.core.state import Policy, Snapshot, State, observe
from sidecar.latest import Latest
from sidecar.metrics import Metrics
from tests.core.examples import FULL, answer, at, failure, outbound

POLICY = Policy(stale_after=300, absent_after=300)
PREFIX = "azure_lb_metadata_"


class Watched:
    """Metrics that watch a state, at a time that the test decides."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.state = State(started=at(0))
        self.latest = Latest(Snapshot.of(self.state, at(0), POLICY))
        self.metrics = Metrics()
        self.metrics.watch(self.latest, lambda: at(self.seconds))

    def see(self, *outcomes: Outcome) -> None:
        """Observe these outcomes now."""
        for outcome in outcomes:
            self.state = observe(self.state, outcome, at(self.seconds), POLICY)
        self.latest.set(Snapshot.of(self.state, at(self.seconds), POLICY))

    def status(self) -> dict[str, float]:
        """The gauge of every status word."""
        return {labels["status"]: value for labels, value in samples(self.metrics, "status")}

    def value(self, name: str, **labels: str) -> float | None:
        """One sample."""
        return self.metrics.registry.get_sample_value(PREFIX + name, labels)

    def entries(self) -> dict[str, float]:
        """The gauge of every list."""
        return {labels["list"]: value for labels, value in samples(self.metrics, "entries")}


def samples(metrics: Metrics, name: str) -> list[tuple[dict[str, str], float]]:
    """Labels and value of every sample of one metric, as a scrape would read them."""
    text = generate_latest(metrics.registry).decode()
    return [
        (sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == PREFIX + name
    ]


def test_before_the_first_answer() -> None:
    """A new agent is starting, its data have no age, and its lists no entries."""
    watched = Watched()
    assert watched.status() == {"starting": 1, "ok": 0, "stale": 0, "no-metadata": 0}
    assert math.isnan(watched.value("data_age_seconds") or 0)
    assert set(watched.entries().values()) == {0}


def test_document_is_counted_by_list() -> None:
    """After a document the status is ok, and entries are counted under the service's own list names."""
    watched = Watched()
    document = Document.of(
        inbound_rules=FULL.inbound_rules, outbound_rules=[outbound("52.1.1.1"), outbound("52.2.2.2")]
    )
    watched.see(answer(document))
    assert watched.status() == {"starting": 0, "ok": 1, "stale": 0, "no-metadata": 0}
    assert watched.entries() == {"publicIpAddresses": 0, "inboundRules": 1, "outboundRules": 2}


def test_age_is_read_at_the_scrape() -> None:
    """The age grows between scrapes without any event, and an answer makes it 0."""
    watched = Watched()
    watched.see(answer(FULL))
    watched.seconds = 42
    assert watched.value("data_age_seconds") == 42
    watched.see(failure())
    assert watched.value("data_age_seconds") == 42
    watched.see(answer(FULL))
    assert watched.value("data_age_seconds") == 0


def test_status_is_that_of_the_newest_snapshot() -> None:
    """Exactly one status is 1 at any time: here stale, then no-metadata."""
    watched = Watched()
    watched.see(NONE, NONE, NONE)
    assert watched.status() == {"starting": 0, "ok": 0, "stale": 0, "no-metadata": 1}
    assert watched.state.document == EMPTY
    watched.seconds = 300
    watched.see(failure())
    assert watched.status() == {"starting": 0, "ok": 0, "stale": 1, "no-metadata": 0}


def test_every_outcome_is_there_from_the_start() -> None:
    """Every outcome of an attempt is a sample of 0 before it happens, so that a first one is an increase."""
    found = {labels["outcome"]: value for labels, value in samples(Metrics(), "attempts_total")}
    assert found == dict.fromkeys(["ok", *(str(reason) for reason in Reason)], 0)


def test_version_is_a_label() -> None:
    """The build metric is 1 and carries the version."""
    assert samples(Metrics(), "build") == [({"version": sidecar.__version__}, 1)]


def test_each_has_a_registry_of_its_own() -> None:
    """Two sets of metrics in one process do not know each other."""
    one, other = Metrics(), Metrics()
    one.revision_changes.inc()
    assert samples(one, "revision_changes_total") == [({}, 1)]
    assert samples(other, "revision_changes_total") == [({}, 0)]


def test_names_and_labels_are_the_contract() -> None:
    """Names, with our prefix or that of the Python process, and labels are what dashboards rely on."""
    watched = Watched()
    metrics = watched.metrics
    metrics.dropped_entries.labels(list="inboundRules", cause="protocol").inc()
    metrics.publishes.labels(publisher="node", result="written").inc()
    metrics.publish_seconds.labels(publisher="node").observe(0.1)
    metrics.kubernetes_requests.labels(method="PATCH", code="200").inc()
    metrics.refused_clients.labels(cause="full").inc()
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        if family.name.startswith(("process_", "python_")):
            continue
        assert family.documentation.endswith("."), family.name
        assert family.name.startswith(PREFIX)
        name = family.name.removeprefix(PREFIX)
        labels[name] = {label for sample in family.samples for label in sample.labels} - {"le"}
    assert {name: found for name, found in labels.items() if not name.endswith("_created")} == {
        "attempts": {"outcome"},
        "attempt_duration_seconds": set(),
        "dropped_entries": {"list", "cause"},
        "revision_changes": set(),
        "publishes": {"publisher", "result"},
        "publish_duration_seconds": {"publisher"},
        "kubernetes_requests": {"method", "code"},
        "http_clients": set(),
        "http_waiting_clients": set(),
        "http_event_clients": set(),
        "http_refused_clients": {"cause"},
        "build": {"version"},
        "status": {"status"},
        "data_age_seconds": set(),
        "entries": {"list"},
    }
