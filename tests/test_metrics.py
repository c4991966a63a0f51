"""The metrics and what they are read from."""

import math
import platform

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

import sidecar
from sidecar.core.document import EMPTY, Document
from sidecar.core.outcome import NONE, Outcome, Reason
from sidecar.core.state import Snapshot, State, observe
from sidecar.latest import Watch
from sidecar.metrics import Metrics
from tests.core.examples import FULL, MOVED, answer, at, failure, inbound, outbound, utc
from tests.support.states import POLICY
from tools.pages import metrics as metrics_page

PREFIX = "azure_lb_metadata_"


class Watched:
    """Metrics that watch a state, at a time that the test decides."""

    def __init__(self, *, addresses: bool = False) -> None:
        self.seconds = 0.0
        self.state = State(started=at(0))
        self.latest = Watch(Snapshot.of(self.state, at(0), POLICY))
        self.metrics = Metrics()
        self.metrics.watch(self.latest, lambda: at(self.seconds), addresses=addresses)

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
        return {labels["kind"]: value for labels, value in samples(self.metrics, "entries")}


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
    """After a document the status is ok, and entries are counted by list."""
    watched = Watched()
    document = Document.of(
        inbound_rules=FULL.inbound_rules, outbound_rules=[outbound("52.1.1.1"), outbound("52.2.2.2")]
    )
    watched.see(answer(document))
    assert watched.status() == {"starting": 0, "ok": 1, "stale": 0, "no-metadata": 0}
    assert watched.entries() == {"public": 0, "inbound": 1, "outbound": 2}


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
    """The build metric is 1 and carries the versions of the agent and of Python."""
    versions = {"version": sidecar.__version__, "python": platform.python_version()}
    assert samples(Metrics(), "build_info") == [(versions, 1)]


def test_each_has_a_registry_of_its_own() -> None:
    """Two sets of metrics in one process do not know each other."""
    one, other = Metrics(), Metrics()
    one.revision_changes.inc()
    assert samples(one, "revision_changes_total") == [({}, 1)]
    assert samples(other, "revision_changes_total") == [({}, 0)]


def test_changes_are_counted_by_kind() -> None:
    """The last change of a kind is its Unix time, among those remembered, and NaN before there was one."""
    watched = Watched()
    watched.see(answer(FULL))
    assert math.isnan(watched.value("last_change_timestamp_seconds", kind="outbound") or 0)
    watched.seconds = 60
    watched.see(answer(MOVED))
    watched.seconds = 90
    watched.see(answer(Document.of(inbound_rules=[inbound("20.2.2.2")], outbound_rules=MOVED.outbound_rules)))
    assert watched.value("last_change_timestamp_seconds", kind="outbound") == utc(60).timestamp()
    assert watched.value("last_change_timestamp_seconds", kind="inbound") == utc(90).timestamp()
    assert math.isnan(watched.value("last_change_timestamp_seconds", kind="rules") or 0)


def test_size_of_the_document() -> None:
    """The size is that of the canonical bytes, and 0 without a document."""
    watched = Watched()
    assert watched.value("document_bytes") == 0
    watched.see(answer(FULL))
    assert watched.value("document_bytes") == len(FULL.canonical)


def test_addresses_are_named_only_if_asked_for() -> None:
    """One sample for each address by what it is, with the option; without it no such metric."""
    assert samples(Watched().metrics, "address_info") == []
    watched = Watched(addresses=True)
    assert samples(watched.metrics, "address_info") == []
    watched.see(answer(FULL))
    found = [(labels["kind"], labels["address"]) for labels, _ in samples(watched.metrics, "address_info")]
    assert sorted(found) == [
        ("egress", "20.1.2.3"),
        ("inbound", "20.20.20.20"),
        ("outbound", "52.1.1.1"),
        ("public", "20.1.2.3"),
    ]


def test_series_do_not_grow_with_the_document() -> None:
    """A document of 250 rules has as many series as one of three: no label is per node, address or rule."""
    counts = []
    for rules in (1, 250):
        watched = Watched()
        watched.see(
            answer(Document.of(inbound_rules=[inbound("20.2.2.2", port=port + 1) for port in range(rules)]))
        )
        counts.append(sum(len(family.samples) for family in watched.metrics.registry.collect()))
    assert counts[0] == counts[1]


def test_names_types_labels_and_help_are_the_contract() -> None:
    """What dashboards rely on is that of the golden file; a change of it is seen in review."""
    assert metrics_page.GOLDEN.read_text() == metrics_page.golden(), "make metrics-docs"


def test_page_is_up_to_date() -> None:
    """docs/metrics.md is what the program makes of its metrics."""
    assert metrics_page.PAGE.read_text() == metrics_page.page(), "make metrics-docs"


@pytest.mark.parametrize("metric", metrics_page.described(), ids=lambda metric: metric.name)
def test_name_follows_the_conventions(metric: metrics_page.Described) -> None:
    """Ours have our prefix, a unit at the end where they have one, and a sentence of help."""
    if metric.ours:
        assert metric.text.endswith(".")
        assert (metric.kind == "counter") is metric.name.endswith("_total")
        assert "node" not in metric.labels
