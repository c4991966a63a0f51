"""What the budget leaves out: whole keys, in one order, none without need."""

import random
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings, strategies as st

from sidecar.core.addresses import IPAddress
from sidecar.core.annotations import Layout, annotations
from sidecar.core.changes import Change
from sidecar.core.document import Document, InboundRule, OutboundRule, PublicIPAddress
from sidecar.core.egress import Observation, declared_networks
from sidecar.core.outcome import Reason, Status
from sidecar.core.probes import Flow, parse_probe
from sidecar.core.state import State
from tests.core.examples import FULL, at, utc

# pylint: disable=duplicate-code  # the contract, spelled out beside the code
ORDER = (
    "loadbalancer",
    "inbound",
    "last-changes",
    "egress-observed",
    "inbound-ips",
    "egress-ips",
    "egress-networks",
    "outbound-ips",
    "public-ips",
)
"""What gives way, first to last, as the contract has it."""

UNBOUNDED = 10**9
LONGEST_PREFIX = "p" * 110


def large_document(seed: int, *, public: int, inbound: int, outbound: int) -> Document:
    """A document of so many entries, with addresses of both families."""
    source = random.Random(seed)

    def address() -> IPAddress:
        if source.random() < 0.5:
            return IPv4Address(source.getrandbits(32))
        return IPv6Address(0x2001_0DB8 << 96 | source.getrandbits(96))

    def rule() -> InboundRule:
        return InboundRule(
            frontend_ip=address(),
            protocol=source.choice(["tcp", "udp", "p" * 16]),
            frontend_port=source.randrange(65536),
            backend_port=source.randrange(65536),
            private_ip=address(),
        )

    return Document.of(
        public_ip_addresses=[PublicIPAddress(address(), address()) for _ in range(public)],
        inbound_rules=[rule() for _ in range(inbound)],
        outbound_rules=[OutboundRule(address(), address()) for _ in range(outbound)],
    )


def state(document: Document, *, changes: int = 0, networks: int = 0, observed: int = 0) -> State:
    """A state with this document, so many changes behind it, and egress declared and observed."""
    happened = [
        Change(at=utc(number), items=tuple(f"+public 20.0.{number}.{last}" for last in range(4 * number)))
        for number in range(1, changes + 1)
    ]
    probe = parse_probe("stun:stun.example.org")
    flows = [
        Flow(probe=probe, family=4, address=IPv4Address(0x14000000 + number)) for number in range(observed)
    ]
    observation = Observation((probe,)).after_round(flows, now=at(100), keep=60.0) if flows else Observation()
    return State(
        started=at(0),
        document=document,
        observed=at(100),
        changed_at=utc(99),
        changes=tuple(happened),
        declared=declared_networks(f"2603:{number:x}::/64" for number in range(networks)),
        observation=observation,
    )


def fitted(state: State, *, prefix: str = "lb.example.com", budget: int = UNBOUNDED) -> dict[str, str]:
    """The annotations of a stale state, without their prefix."""
    layout = Layout(prefix=prefix, budget=budget)
    values = annotations(state, Status.STALE, Reason.UNAVAILABLE, layout=layout)
    return {key.removeprefix(f"{prefix}/"): value for key, value in values.items()}


def size(values: dict[str, str], *, prefix: str = "lb.example.com") -> int:
    """Bytes of keys and values."""
    return sum(len(f"{prefix}/{name}{value}".encode()) for name, value in values.items())


def counted(full: dict[str, str], name: str, document: Document) -> int:
    """How many items a key had before it gave way."""
    if name == "loadbalancer":
        return document.entries
    return len(full[name].split("; " if name == "last-changes" else ","))


def leaving_out(full: dict[str, str], names: list[str], document: Document) -> dict[str, str]:
    """`full` without these keys, and with what tells of them."""
    kept = {name: value for name, value in full.items() if name not in names}
    told = ",".join(f"{name}={counted(full, name, document)}" for name in names)
    return kept | {"omitted": told} if told else kept


@settings(max_examples=150)
@given(
    seed=st.integers(0, 2**32),
    public=st.integers(0, 60) | st.just(0),
    inbound=st.integers(0, 250) | st.just(0),
    outbound=st.integers(0, 100) | st.just(0),
    changes=st.integers(0, 7),
    networks=st.integers(0, 300) | st.just(0),
    observed=st.integers(0, 32) | st.just(0),
    budget=st.integers(2048, 16384) | st.integers(2048, 4096) | st.just(2048),
    prefix=st.sampled_from(["lb.example.com", LONGEST_PREFIX]),
)
def test_any_document_fits_and_loses_no_key_without_need(  # noqa: PLR0913 - each is a dimension of the search
    *,
    seed: int,
    public: int,
    inbound: int,
    outbound: int,
    changes: int,
    networks: int,
    observed: int,
    budget: int,
    prefix: str,
) -> None:
    """What is left out is the shortest beginning of the order that makes the rest fit, and said exactly."""
    document = large_document(seed, public=public, inbound=inbound, outbound=outbound)
    known = state(document, changes=changes, networks=networks, observed=observed)
    full, values = fitted(known, prefix=prefix), fitted(known, prefix=prefix, budget=budget)
    candidates = [name for name in ORDER if name in full]
    attempts = [leaving_out(full, candidates[:count], document) for count in range(len(candidates) + 1)]
    sizes = [size(attempt, prefix=prefix) for attempt in attempts]
    assert values == next(
        attempt for attempt, bytes_ in zip(attempts, sizes, strict=True) if bytes_ <= budget
    )


def test_smallest_budget_holds_with_the_longest_of_everything() -> None:
    """Within 2048 bytes and under a prefix of 110, whatever cannot be left out and `omitted` still fit."""
    document = large_document(1, public=2000, inbound=2000, outbound=2000)
    known = state(document, changes=2, networks=300, observed=32)
    values = fitted(known, prefix=LONGEST_PREFIX, budget=2048)
    assert values.keys() == {
        "public-ip",
        "public-ipv6",
        "egress-basis",
        "egress-state",
        "revision",
        "changed-at",
        "observed-at",
        "status",
        "reason",
        "omitted",
    }
    assert size(values, prefix=LONGEST_PREFIX) <= 2048
    assert values["omitted"].split(",") == [
        "loadbalancer=6000",
        f"inbound={len(set(fitted(state(document))['inbound'].split(',')))}",
        "last-changes=2",
        "egress-observed=32",
        "inbound-ips=2000",
        f"egress-ips={len(known.egress.addresses)}",
        "egress-networks=300",
        "outbound-ips=2000",
        "public-ips=2000",
    ]


def test_exactly_full_budget_omits_nothing() -> None:
    """Annotations of exactly the budget are whole; one byte less costs the document."""
    document = large_document(2, public=3, inbound=10, outbound=3)
    full = fitted(state(document))
    assert fitted(state(document), budget=size(full)) == full
    less = fitted(state(document), budget=size(full) - 1)
    assert less["omitted"] == "loadbalancer=16"
    assert full.keys() - less.keys() == {"loadbalancer"}


def test_summary_never_says_that_the_document_was_left_out() -> None:
    """Under `summary` the document is not there to begin with, so the budget begins with `inbound`."""
    document = large_document(3, public=2, inbound=100, outbound=2)
    layout = Layout(annotate="summary", budget=2048)
    values = annotations(state(document), Status.OK, None, layout=layout)
    assert values[layout.key("omitted")].startswith("inbound=100")


@pytest.mark.parametrize("budget", [2048, 8192])
def test_small_document_omits_nothing(budget: int) -> None:
    """The annotations of a small node fit into any budget."""
    assert "omitted" not in fitted(state(FULL, changes=1), budget=budget)
