"""`doctor` beside an agent with egress probes: what they saw and why they saw nothing, over its HTTP API."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from ipaddress import ip_address

import pytest

from sidecar.core.egress import Observation, declared_networks
from sidecar.core.instant import Instant
from sidecar.core.probes import Flow, FlowFailure, parse_probe
from sidecar.core.state import Snapshot, State
from sidecar.doctor.probe_agent import egress_evidence
from tests.api.support import api_running
from tests.doctor.support import Doctor, Report
from tests.support.states import EPOCH, POLICY, answer, body, inbound, pair, snapshot_after

UDP, TCP, HTTPS = "stun:stun.example.org", "stun+tcp:stun.example.org", "https://echo.example.org/"
CONFIGURED = {"outbound": [pair("52.1.1.1")], "inbound_rules": [inbound("20.20.20.20", 80, 30080)]}

Look = Callable[..., Awaitable[Report]]


def saw(probe: str, address: str, *, family: int = 4) -> Flow:
    """A connection that the probe saw come from there."""
    return Flow(
        probe=parse_probe(probe), family=family, address=ip_address(address), own=ip_address("10.0.0.4")
    )


def failed(probe: str, failure: FlowFailure, detail: str = "", *, family: int = 4) -> Flow:
    """A connection that brought nothing."""
    return Flow(probe=parse_probe(probe), family=family, failure=failure, detail=detail)


def snapshot(rounds: Sequence[tuple[Instant, Sequence[Flow]]], declared: Sequence[str] = ()) -> Snapshot:
    """An agent's, after these rounds of its probes."""
    probes = tuple(dict.fromkeys(flow.probe for _, flows in rounds for flow in flows))
    observation = Observation(probes)
    for at, flows in rounds:
        observation = observation.after_round(flows, now=at, keep=86_400)
    state = State(started=EPOCH, declared=declared_networks(declared), observation=observation)
    known = snapshot_after(answer(body(**CONFIGURED)), state=state)
    return Snapshot.of(known.state, EPOCH, POLICY)


@pytest.fixture
def look(doctor: Doctor) -> Look:
    """`doctor` beside an agent whose last round had these flows."""

    async def run(*flows: Flow, declared: Sequence[str] = (), arguments: Sequence[str] = ()) -> Report:
        async with api_running(snapshot([(EPOCH, flows)], declared)) as api:
            return await doctor("--upstream", api.url, *arguments)

    return run


async def test_agrees(look: Look) -> None:
    """Probes that see what is configured, or declared, are no cause."""
    (await look(saw(UDP, "52.1.1.1"), saw(HTTPS, "52.1.1.1"))).is_healthy()
    (await look(saw(UDP, "203.0.113.5"), declared=["203.0.113.4/31"])).is_healthy()


async def test_nat_gateway(look: Look) -> None:
    """An address that is neither declared nor configured proves it, and both lists are told."""
    report = await look(saw(UDP, "52.1.1.1"), saw(HTTPS, "203.0.113.9"))
    report.names_first("nat-gateway-or-route-table", sure="certain")
    assert report.causes == ["nat-gateway-or-route-table"]
    told = report.told("nat-gateway-or-route-table")
    assert "come from 203.0.113.9" in told
    assert "the metadata service lists 52.1.1.1" in told


async def test_unlisted(look: Look) -> None:
    """Where something is declared for the family, the declared list is what lacks the address."""
    report = await look(saw(UDP, "203.0.113.9"), declared=["203.0.113.4/31"])
    report.names_first("egress-unlisted", sure="certain")
    assert report.causes == ["egress-unlisted"]
    assert "declared: 203.0.113.4/31" in report.told("egress-unlisted")
    six = await look(saw(UDP, "203.0.113.9"), declared=["2603:1::/64"])
    assert six.causes == ["nat-gateway-or-route-table"]
    assert "declared: 2603:1::/64" in six.told("nat-gateway-or-route-table")


async def test_frontend(look: Look) -> None:
    """A frontend without an outbound rule is the load balancer's, and no NAT gateway's."""
    assert (await look(saw(UDP, "20.20.20.20"))).causes == ["egress-unlisted"]


async def test_address_of_the_past(doctor: Doctor) -> None:
    """An address that was last seen before the data changed may be given up: nobody is sure of it."""
    before = Instant(mono=EPOCH.mono - 3600, utc=EPOCH.utc - timedelta(hours=1))
    rounds = [(before, [saw(UDP, "52.9.9.9")]), (EPOCH, [saw(UDP, "52.1.1.1")])]
    async with api_running(snapshot(rounds)) as api:
        report = await doctor("--upstream", api.url)
    report.names_first("egress-unlisted", sure="possible")
    assert "52.9.9.9 was last seen at 2026-01-02T02:04:05Z" in report.told("egress-unlisted")
    # Before the change, and in the last round: it is in use.
    async with api_running(snapshot(rounds[:1])) as api:
        assert (await doctor("--upstream", api.url)).causes == ["nat-gateway-or-route-table"]


async def test_udp_blocked(look: Look) -> None:
    """UDP alone without an answer is blocked, as far as TCP or HTTPS of the same family are answered."""
    silence = failed(UDP, FlowFailure.NO_ANSWER, "nothing came within 3 s")
    report = await look(silence, saw(TCP, "52.1.1.1"), saw(HTTPS, "52.1.1.1"))
    assert report.causes == ["egress-probe-udp-blocked"]
    report.names_first("egress-probe-udp-blocked", sure="likely")
    told = report.told("egress-probe-udp-blocked")
    assert "stun:stun.example.org:3478 over IPv4: no-answer (nothing came within 3 s)" in told
    assert "answered: stun+tcp:stun.example.org:3478, https://echo.example.org/" in told
    # Another UDP probe is answered, so UDP is not blocked.
    report = await look(silence, saw("stun:other.example.org", "52.1.1.1"), saw(TCP, "52.1.1.1"))
    assert report.causes == ["egress-probe-unanswered"]


async def test_everything_blocked(look: Look) -> None:
    """Where nothing on any host answers, it is the way and not a probe."""
    silences = [failed(probe, FlowFailure.NO_ANSWER) for probe in (UDP, TCP, HTTPS)]
    report = await look(*silences)
    report.names_first("egress-probes-blocked", sure="likely")
    assert report.causes == ["egress-probes-blocked"]
    assert len(report.cause("egress-probes-blocked")["evidence"]) == 3
    assert "NetworkPolicy" in report.cause("egress-probes-blocked")["remedy"]


async def test_one_host(look: Look) -> None:
    """Of a single host it is not known whether it is away or the way is; that is said."""
    report = await look(failed(UDP, FlowFailure.NO_ANSWER), failed(TCP, FlowFailure.NO_ANSWER))
    assert report.causes == ["egress-probe-unanswered"]
    assert "no probe on another host to compare with" in report.told("egress-probe-unanswered")


@pytest.mark.parametrize("failure", [FlowFailure.REFUSED, FlowFailure.REJECTED, FlowFailure.MALFORMED])
async def test_unanswered(look: Look, failure: FlowFailure) -> None:
    """A probe that refuses, or answers with something else, is named with the agent's words."""
    report = await look(failed(HTTPS, failure, "HTTP 500"), saw(UDP, "52.1.1.1"))
    report.names_first("egress-probe-unanswered", sure="certain")
    assert report.causes == ["egress-probe-unanswered"]
    assert f"https://echo.example.org/ over IPv4: {failure} (HTTP 500)" in report.told(
        "egress-probe-unanswered"
    )


@pytest.mark.parametrize(
    ("failure", "cause", "remedy"),
    [
        (FlowFailure.CERTIFICATE, "egress-probe-certificate", "egress.ca"),
        (FlowFailure.UNKNOWN_NAME, "egress-probe-unknown-name", "egress.probes"),
    ],
)
async def test_own_causes(look: Look, failure: FlowFailure, cause: str, remedy: str) -> None:
    """A certificate and a name have causes of their own, whose remedies name the chart's value."""
    report = await look(failed(HTTPS, failure, "in words"), saw(UDP, "52.1.1.1"))
    report.names_first(cause, sure="certain")
    assert report.causes == [cause]
    assert remedy in report.cause(cause)["remedy"]


async def test_inside(look: Look) -> None:
    """A probe that sees a private address is on this side of the translation, and is named."""
    report = await look(saw(UDP, "10.0.0.4"), saw(HTTPS, "52.1.1.1"))
    report.names_first("egress-probe-inside", sure="certain")
    assert report.told("egress-probe-inside") == "stun:stun.example.org:3478 over IPv4: 10.0.0.4"


async def test_family_that_the_node_has_not(look: Look) -> None:
    """A probe that answers over IPv4 is not blamed for IPv6 on a node without, and is where there is."""
    flows = (saw(UDP, "52.1.1.1"), failed(UDP, FlowFailure.NO_ROUTE, family=6))
    (await look(*flows)).is_healthy()
    report = await look(*flows, declared=["2603:1::/64"])
    assert report.causes == ["egress-probe-unanswered"]


async def test_before_the_first_round(doctor: Doctor) -> None:
    """An agent that has not asked its probes yet has nothing wrong with them."""
    state = State(started=EPOCH, observation=Observation((parse_probe(UDP),)))
    known = snapshot_after(answer(body(**CONFIGURED)), state=state)
    async with api_running(known) as api:
        (await doctor("--upstream", api.url)).is_healthy()


async def test_declared_and_seen_from(look: Look) -> None:
    """An address that others saw and that is declared is of no NAT gateway that nobody knows of."""
    flows = [saw(UDP, "52.1.1.1")]
    seen = ("--seen-from", "203.0.113.5")
    (await look(saw(TCP, "203.0.113.4"), declared=["203.0.113.4/31"], arguments=seen)).is_healthy()
    report = await look(*flows, arguments=seen)
    report.names_first("nat-gateway-or-route-table", sure="certain")
    assert "come from 203.0.113.5" in report.told("nat-gateway-or-route-table")


async def test_declared_in_the_settings(doctor: Doctor, host: pytest.MonkeyPatch) -> None:
    """Without an agent the settings here say what is declared."""
    arguments = ("--direct", "--seen-from", "203.0.113.5")
    assert (await doctor(*arguments)).causes == ["nat-gateway-or-route-table"]
    host.setenv("AZURE_LB_METADATA_EGRESS_DECLARED", "203.0.113.4/31")
    (await doctor(*arguments)).is_healthy()


async def test_hostile_words() -> None:
    """What an agent says is checked and made printable, and what is none of it is no evidence."""
    flows = [failed(HTTPS, FlowFailure.REJECTED, "HTTP 500"), saw(UDP, "203.0.113.9")]
    async with api_running(snapshot([(EPOCH, flows)])) as api:
        said = (await api.get("/v1/egress")).body
    good = egress_evidence(said)
    assert good is not None
    assert [str(address) for address in good.unlisted] == ["203.0.113.9"]
    hostile = egress_evidence(said.replace(b"HTTP 500", rb"\u001b[2J\u009b"))
    assert hostile is not None
    assert all(str(result).isprintable() and str(result).isascii() for result in hostile.results)
    for old, new in (
        (b'"203.0.113.9"', b'"everywhere"'),
        (b'"rejected"', b'"splendid"'),
        (b'"state":"unlisted"', b'"state":7'),
        (b"stun:stun", b"gopher:stun"),
        (b'"declared":[]', b'"declared":["0.0.0.0/0"]'),
    ):
        assert old in said
        assert egress_evidence(said.replace(old, new)) is None
    for nothing in (b"", b"{}", b"[]", b"\xff", b"[" * 100_000):
        assert egress_evidence(nothing) is None
