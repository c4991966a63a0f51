"""What is believed of the annotations that an earlier run left, or that somebody forged."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from sidecar.core.annotations import KEYS, Layout, annotations, canonical_document, found
from sidecar.core.changes import HISTORY_LENGTH, Change
from sidecar.core.document import EMPTY, Document, canonical_bytes
from sidecar.core.egress import EgressState, Observation
from sidecar.core.outcome import Reason, Status
from sidecar.core.probes import Probe, parse_probe
from sidecar.core.state import DataOrigin, Found, State, observe, restore
from tests.core.examples import FULL, answer, at, documents, utc
from tests.support.faults import Origin, Promise, also_shows, fault
from tests.support.states import POLICY

LAYOUT = Layout()
PROBE = parse_probe("stun:stun.example.org")
CHANGES = (Change(at=utc(0), items=("-public 20.1.1.1", "+public 20.1.2.3")),)
STATE = State(started=at(0), document=FULL, observed=at(90), changed_at=utc(60), changes=CHANGES)
LIVE = annotations(STATE, Status.OK, None, layout=LAYOUT)


def live(layout: Layout = LAYOUT, **values: str | None) -> dict[str, str]:
    """What a run wrote, with these values put in place (`_` for `-`), or taken away where `None`."""
    written = annotations(STATE, Status.OK, None, layout=layout)
    edits = {layout.key(name.replace("_", "-")): value for name, value in values.items()}
    return {key: value for key, value in (written | edits).items() if value is not None}


def taken(values: Mapping[str, str], layout: Layout = LAYOUT) -> Found:
    """What is found, where something must be."""
    earlier = found(values, layout=layout)
    assert earlier is not None
    return earlier


# What an earlier run wrote


def test_everything_an_earlier_run_wrote_is_found() -> None:
    """A document that matches its revision is restored with its times and its history."""
    assert found(LIVE, layout=LAYOUT) == Found(
        revision=FULL.revision,
        changed_at=utc(60),
        changes=CHANGES,
        document=FULL,
        observed_at=utc(90),
    )


@given(
    document=documents,
    status=st.sampled_from(Status),
    reason=st.none() | st.sampled_from(Reason),
    layout=st.builds(
        Layout,
        prefix=st.sampled_from(["azure-lb-metadata.io", "lb.example.com"]),
        budget=st.sampled_from([2048, 8192]),
        annotate=st.sampled_from(["full", "summary"]),
    ),
)
def test_what_was_found_is_written_the_same_again(
    document: Document, status: Status, reason: Reason | None, layout: Layout
) -> None:
    """Annotations of a state restored are the annotations it was restored from, document or not."""
    before = replace(STATE, document=document)
    written = annotations(before, status, reason, layout=layout)
    earlier = taken(written, layout)
    if layout.key("loadbalancer") in written:
        assert earlier.document == document
    else:
        assert earlier.document is None
        return
    restored = restore(State(started=at(1000)), earlier, at(1000), POLICY)
    assert restored.source is DataOrigin.RESTORED
    assert annotations(restored, status, reason, layout=layout) == written


@pytest.mark.parametrize("annotate", ["full", "summary"])
def test_revision_is_found_without_the_document(annotate: Any) -> None:
    """Where the document was left out, revision, times and history are still found."""
    layout = Layout(annotate=annotate)
    earlier = taken(live(layout, loadbalancer=None), layout)
    assert (earlier.revision, earlier.changed_at, earlier.changes) == (FULL.revision, utc(60), CHANGES)
    assert earlier.document is None


def test_empty_document_is_found() -> None:
    """What was written under `no-metadata` is restored as the empty document."""
    state = replace(STATE, document=EMPTY)
    values = annotations(state, Status.NO_METADATA, Reason.NO_METADATA, layout=LAYOUT)
    assert taken(values).document == EMPTY


def test_nothing_is_found_on_a_new_node() -> None:
    """A Node without our keys, or with those of another prefix only, has nothing to restore."""
    other = Layout(prefix="lb.example.com")
    assert found({}, layout=LAYOUT) is None
    assert found({"kubectl.kubernetes.io/last-applied-configuration": "{}"}, layout=LAYOUT) is None
    assert found(live(other), layout=LAYOUT) is None
    assert taken(live(other), other).document == FULL


# What somebody may have put there


@pytest.mark.parametrize(
    "revision",
    [None, "", "0", FULL.revision.upper() + "G", FULL.revision * 2, f"{FULL.revision}\n", "\u0660" * 16],
)
def test_garbled_revision_is_nothing(revision: str | None) -> None:
    """Without 16 lower-case hex digits as revision nothing is believed."""
    assert found(live(revision=revision), layout=LAYOUT) is None


@also_shows("Annotations found at the start are forged or garbled")
def test_forged_revision_loses_the_document() -> None:
    """A document whose hash is not the revision is not served."""
    forged = taken(live(revision="0" * 16))
    assert (forged.revision, forged.document) == ("0" * 16, None)


MALFORMED_TIMES = [
    "",
    "yesterday",
    "2026-01-02 03:04:05Z",
    "2026-01-02T03:04:05",
    "2026-01-02T03:04:05+00:00",
    "2026-13-02T03:04:05Z",
    "2026-1-2T3:4:5Z",
    "\u0662026-01-02T03:04:05Z",
    "10000-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "2026-01-02T03:04:05Z\n",
]


@pytest.mark.parametrize("text", [None, *MALFORMED_TIMES])
def test_wrong_changed_at_is_nothing(text: str | None) -> None:
    """Without the time of the revision in the form that is written, nothing is believed."""
    assert found(live(changed_at=text), layout=LAYOUT) is None


@pytest.mark.parametrize("text", [None, *MALFORMED_TIMES])
def test_wrong_observed_at_keeps_the_document_from_being_served(text: str | None) -> None:
    """A document of unknown age is not served, but its revision and history are kept."""
    earlier = taken(live(observed_at=text))
    assert earlier.observed_at is None
    state = restore(State(started=at(0)), earlier, at(0), POLICY)
    assert (state.document, state.found) == (None, earlier)


@fault(
    Origin.CLOCK,
    "What is found at the start is from the future",
    Promise(
        served="It is served with age 0.",
        annotated="Put right by the heartbeat or the next write.",
        logged="`taken-up` with what was found, if it is anything.",
        recovery="With the first answer.",
    ),
)
def test_age_is_never_below_zero() -> None:
    """An `observed-at` of the far future counts as now."""
    earlier = taken(live(observed_at="9999-12-31T23:59:59Z"))
    now = at(500)
    state = restore(State(started=at(0)), earlier, now, POLICY)
    assert (state.document, state.observed) == (FULL, now)


def test_far_past_is_an_age() -> None:
    """An `observed-at` of a thousand years ago is just a great age."""
    earlier = taken(live(observed_at="1000-01-01T00:00:00Z"))
    state = restore(State(started=at(0)), earlier, at(500), POLICY)
    assert state.observed is not None
    assert state.observed.age(at(500)) > 1000 * 365 * 86_400


SPACED = json.dumps(FULL.wire())
REORDERED = canonical_bytes(dict(reversed(FULL.wire().items()))).decode()
EXTENDED = canonical_bytes(FULL.wire() | {"note": "mine"}).decode()
BRACKETED = FULL.canonical.decode().replace('"20.1.2.3"', '"[2001:db8::1]"')
DUPLICATED = canonical_bytes(
    FULL.wire() | {"publicIpAddresses": FULL.wire()["publicIpAddresses"] * 2}
).decode()


@fault(
    Origin.API_SERVER,
    "Annotations found at the start are forged or garbled",
    Promise(
        served="A document only if it is canonical, fits its revision and is of known age; else nothing.",
        annotated=(
            "Put right with the first answer, what somebody else owns a splay later; what is unsound is never"
            " written again."
        ),
        logged="`annotations-removed` where the first write left something; else nothing.",
        recovery="With the first answer, and a splay.",
    ),
)
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(SPACED, id="with spaces"),
        pytest.param(REORDERED, id="other order"),
        pytest.param(EXTENDED, id="unknown key"),
        pytest.param(BRACKETED, id="brackets"),
        pytest.param(DUPLICATED, id="duplicate"),
        pytest.param(f"\ufeff{FULL.canonical.decode()}", id="byte order mark"),
        pytest.param(f'{{"loadbalancer":{FULL.canonical.decode()}}}', id="outer key"),
        pytest.param("", id="empty"),
        pytest.param("null", id="null"),
        pytest.param("[]", id="list"),
        pytest.param("{", id="cut short"),
        pytest.param("[" * 100_000, id="deep"),
        pytest.param(f'{{"publicIpAddresses":{"9" * 100_000}}}', id="digits"),
        pytest.param('{"publicIpAddresses":[{}]}', id="unusable entry"),
        pytest.param("\ud800", id="lone surrogate"),
        pytest.param("\x00\x1b[31m", id="control characters"),
        pytest.param("x" * 262_144, id="huge"),
    ],
)
def test_document_that_is_not_canonical_is_not_served(text: str) -> None:
    """Only the canonical bytes count, even if they mean the same; the revision is kept."""
    earlier = taken(live(loadbalancer=text))
    assert (earlier.revision, earlier.document) == (FULL.revision, None)


@pytest.mark.parametrize("text", [SPACED, REORDERED, EXTENDED, DUPLICATED])
def test_non_canonical_document_of_a_fitting_hash_is_not_served(text: str) -> None:
    """A forger who hashes his own text does not get it served: the hash must be of the canonical one."""
    assert canonical_document(text, revision=FULL.revision) is None


def test_history_in_a_huge_text_is_bounded() -> None:
    """Of a history longer than an agent remembers the last changes count, garbage is passed over."""
    line = "2026-01-02T03:04:05Z +public 20.1.2.3"
    earlier = taken(live(last_changes="; ".join(["x" * 1000, *[line] * 5000, "\x00\x07"])))
    assert len(earlier.changes) == HISTORY_LENGTH
    assert {change.items for change in earlier.changes} == {("+public 20.1.2.3",)}


texts = st.text() | st.sampled_from([*LIVE.values(), "2026-01-02T03:04:05Z", "0" * 16, "{}", "9" * 5000])
texts |= st.dates().map(lambda date: f"{date.isoformat()}T00:00:00Z")


@also_shows("Annotations found at the start are forged or garbled")
@given(st.dictionaries(st.sampled_from([LAYOUT.key(name) for name in KEYS]), texts))
def test_any_text_is_survived_and_never_printed_again_unchecked(values: dict[str, str]) -> None:
    """Whatever is found, nothing is raised, and what would be written of it is printable and bounded."""
    earlier = found(LIVE | values, layout=LAYOUT)
    if earlier is None:
        return
    assert earlier.document is None or earlier.document.revision == earlier.revision
    state = restore(State(started=at(0)), earlier, at(0), POLICY)
    if state.document is None:
        return
    written = annotations(state, Status.STALE, state.reason(Status.STALE), layout=LAYOUT)
    assert all(value.isascii() and value.isprintable() for value in written.values())
    assert sum(len(key) + len(value) for key, value in written.items()) <= 8192


# Observed egress


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, []),
        ("", []),
        ("20.7.7.7", ["20.7.7.7"]),
        ("2603::7,20.7.7.7,20.7.7.7", ["20.7.7.7", "2603::7"]),
        ("20.7.7.7,", []),
        ("20.7.7.7,gateway", []),
        ("20.7.7.0/24", []),
        ("::ffff:20.7.7.7", []),
        ("20.7.7.7\n", []),
    ],
)
def test_observed_egress_is_found(text: str | None, expected: list[str]) -> None:
    """What an earlier run had observed is found; if one item is wrong, none is believed."""
    assert list(map(str, taken(live(egress_observed=text)).egress_observed)) == expected


@pytest.mark.parametrize("probes", [(PROBE,), ()])
@pytest.mark.parametrize("answers_first", [True, False])
def test_observed_egress_is_restored(probes: tuple[Probe, ...], answers_first: bool) -> None:  # noqa: FBT001 - a case
    """With a probe, what an earlier run observed goes on as of the last good answer; without, it ends."""
    state = State(started=at(1000), observation=Observation(probes))
    if answers_first:
        state = observe(state, answer(FULL), at(1000), POLICY)
    earlier = taken(live(egress_observed="20.7.7.7", egress_state="unlisted"))
    state = restore(state, earlier, at(1001), POLICY)
    seen = state.observation.sightings
    assert [(str(one.address), one.probe, one.last.utc) for one in seen] == (
        [("20.7.7.7", None, utc(90))] if probes else []
    )
    assert state.shared_egress.state is (EgressState.UNLISTED if probes else EgressState.OFF)
    written = annotations(state, Status.OK, None, layout=LAYOUT)
    assert (written.get(LAYOUT.key("egress-observed")) == "20.7.7.7") is bool(probes)
