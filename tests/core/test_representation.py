"""The JSON that files and the HTTP API share."""

import json
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from sidecar.core.document import EMPTY, canonical_bytes
from sidecar.core.egress import Observation, declared_networks
from sidecar.core.outcome import Failure, Reason
from sidecar.core.probes import Flow, parse_probe
from sidecar.core.representation import load_balancer
from sidecar.core.state import Snapshot, State, observe
from tests.core.examples import FULL, answer, at, utc
from tests.support.states import POLICY, none_accepted, restored, snapshot_of

STATE = observe(State(started=at(0)), answer(FULL), at(1), POLICY)


def loaded(snapshot: Snapshot, *, node: str | None) -> dict[str, Any]:
    """What a reader of the bytes has."""
    value: dict[str, Any] = json.loads(load_balancer(snapshot, node=node))
    return value


def test_members() -> None:
    """Six members in a fixed order; `changedAt` is when this revision was first seen."""
    body = loaded(Snapshot.of(STATE, at(10), POLICY), node="node-a")

    assert list(body) == ["node", "status", "reason", "revision", "changedAt", "loadbalancer"]
    assert body == {
        "node": "node-a",
        "status": "ok",
        "reason": None,
        "revision": FULL.revision,
        "changedAt": "2026-01-02T03:04:06Z",
        "loadbalancer": FULL.wire(),
    }


def test_bytes_are_canonical() -> None:
    """The bytes are those of the value, ASCII without spaces, around the document's own."""
    snapshot = Snapshot.of(STATE, at(10), POLICY)

    assert load_balancer(snapshot, node="ä") == canonical_bytes(loaded(snapshot, node="ä"))
    assert FULL.canonical in load_balancer(snapshot, node=None)


def test_nothing_ages() -> None:
    """Another answer, a failure and time leave it as it was while the status is the same."""
    later = observe(STATE, answer(FULL), at(100), POLICY)
    later = observe(later, Failure(Reason.THROTTLED, detail="x"), at(200), POLICY)

    before = load_balancer(Snapshot.of(STATE, at(1), POLICY), node=None)
    assert load_balancer(Snapshot.of(later, at(399), POLICY), node=None) == before


def test_stale_has_a_reason() -> None:
    """Stale data say why, and are the same data."""
    state = observe(STATE, Failure(Reason.THROTTLED, detail="x"), at(200), POLICY)
    body = loaded(Snapshot.of(state, at(301), POLICY), node=None)

    assert (body["status"], body["reason"]) == ("stale", "throttled")
    assert body["loadbalancer"] == FULL.wire()


def test_restored() -> None:
    """Data restored keep the time of their change."""
    body = loaded(snapshot_of(restored(FULL, age=3600)), node=None)

    assert (body["status"], body["reason"]) == ("stale", "unreachable")
    assert body["changedAt"] == "2026-01-02T02:04:05Z"
    assert utc(-3600).hour == 2


def test_no_metadata() -> None:
    """An accepted "none" is a document of three empty lists with its own revision."""
    body = loaded(none_accepted(), node=None)

    assert (body["status"], body["reason"]) == ("no-metadata", "no-metadata")
    assert body["loadbalancer"] == {"publicIpAddresses": [], "inboundRules": [], "outboundRules": []}
    assert body["revision"] == EMPTY.revision


def test_no_document_yet() -> None:
    """Before the first answer there is nothing to represent."""
    with pytest.raises(ValueError, match="without a document"):
        load_balancer(snapshot_of(State(started=at(0))), node="node-a")


PROBE = parse_probe("stun:stun.example.org")


def test_egress() -> None:
    """What is declared and observed stands before the document, only where there is any of it."""
    state = replace(STATE, declared=declared_networks(["20.5.5.0/24"]))
    declared = loaded(Snapshot.of(state, at(10), POLICY), node=None)
    observation = Observation((PROBE,)).after_round(
        [Flow(probe=PROBE, family=4, address=ip_address("20.7.7.7"))], now=at(5), keep=60.0
    )
    observed = loaded(Snapshot.of(replace(state, observation=observation), at(10), POLICY), node=None)

    assert list(declared)[-2:] == ["egress", "loadbalancer"]
    assert declared["egress"] == {"networks": ["20.5.5.0/24"], "observed": [], "state": "off"}
    assert observed["egress"] == {
        "networks": ["20.5.5.0/24"],
        "observed": ["20.7.7.7"],
        "state": "unlisted",
    }


def test_rounds_that_bring_nothing_new_change_nothing() -> None:
    """The bytes are the same however often an address is seen."""
    flow = Flow(probe=PROBE, family=4, address=ip_address("20.7.7.7"))
    bodies = set()
    observation = Observation((PROBE,))
    for seconds in (5, 600, 1200):
        observation = observation.after_round([flow], now=at(seconds), keep=86_400.0)
        bodies.add(
            load_balancer(Snapshot.of(replace(STATE, observation=observation), at(10), POLICY), node=None)
        )
    assert len(bodies) == 1
