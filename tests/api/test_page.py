"""The status page."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from ipaddress import ip_address
from typing import Any

import pytest

from sidecar.core.changes import Change
from sidecar.core.egress import EgressState, Observation, SharedEgress, declared_networks
from sidecar.core.outcome import Failure, Reason
from sidecar.core.probes import Flow, FlowFailure, Probe, parse_probe
from sidecar.core.state import Snapshot
from tests.api.snapshots import DUAL_STACK
from tests.api.support import NODE, api_running
from tests.support import states

VOID = {"meta", "link", "br", "wbr"}
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&amp;${node}"


class Page(HTMLParser):
    """A page that was read: its elements, its text, and that every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.inline: dict[str, str] = {"style": "", "script": ""}
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an element."""
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an element that closes itself, as those of SVG may."""
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost element."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Take a text."""
        if self._open and self._open[-1] in self.inline:
            self.inline[self._open[-1]] += data
        else:
            self.texts.append(data)

    @property
    def text(self) -> str:
        """All text, without the style and the script."""
        return " ".join(" ".join(self.texts).split())

    def count(self, tag: str) -> int:
        """How many elements there are of a kind."""
        return sum(1 for name, _ in self.elements if name == tag)


async def page_of(snapshot: Snapshot, **settings: Any) -> Page:
    """The page over a snapshot."""
    async with api_running(snapshot, **settings) as api:
        reply = await api.get("/")
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    return Page(reply.text)


def rules(count: int, frontends: int = 1) -> Snapshot:
    """So many rules, spread over so many frontends."""
    listed = [
        states.inbound(f"20.20.{number % frontends}.20", 1000 + number, 30000) for number in range(count)
    ]
    return states.snapshot_after(states.answer(states.body(inbound_rules=listed)))


async def test_facts() -> None:
    """The page names the node, the status and its age, and the addresses, the advertised one first."""
    page = await page_of(DUAL_STACK, node_address=ip_address("10.240.0.4"))

    assert f"Load balancer facts of {NODE}" in page.text
    assert "ok The metadata service answers." in page.text
    assert "Last good answer 0 s ago 2026-01-02 03:04:05 UTC" in page.text
    assert "20.10.5.34 the one to advertise 20.10.5.4 2603:1020:10:5::34" in page.text
    assert "From its instance-level public IP addresses, unless a route table" in page.text


async def test_drawing() -> None:
    """The drawing, for wide and for narrow windows, has the frontends, their rules and the private IPs."""
    page = await page_of(DUAL_STACK)

    drawn = page.text.partition("What reaches this node")[2].partition("All 4 inbound rules")[0]
    assert page.count("svg") == 2
    for words in (
        "20.20.20.20",
        "2603:1020::5",
        "udp 53",
        "HA ports",
        "any private IP (floating IP)",
        "fd00::10",
    ):
        assert drawn.count(words) >= 2
    assert drawn.count("tcp 443 → 30443") == 4


@pytest.mark.parametrize(
    ("count", "frontends", "note"),
    [
        (0, 1, None),
        (3, 1, None),
        (20, 3, None),
        (250, 1, "250 rules are drawn together where they are alike; the table below has each."),
        (250, 50, "It also has 150 rules that are not drawn."),
    ],
)
async def test_many_rules(count: int, frontends: int, note: str | None) -> None:
    """The page says what the drawing leaves out; the table has every rule."""
    page = await page_of(rules(count, frontends))

    assert page.count("svg") == 2 * bool(count)
    assert ("the table below has each" in page.text) == (note is not None)
    assert note is None or note in page.text
    assert page.count("details") == bool(count)
    assert page.texts.count(":30000") == count


async def test_starting() -> None:
    """Before data the page says so, why, and what was tried."""
    failure = Failure(reason=Reason.THROTTLED, detail="status 429")
    page = await page_of(states.snapshot_after(failure, failure))

    assert "starting There is no answer of the metadata service yet. Reason: throttled ." in page.text
    assert "2026-01-02 03:04:15 UTC throttled status 429 2026-01-02 03:04:05 UTC throttled" in page.text
    assert page.count("svg") == 0
    assert ("main", {"id": "state", "data-etag": ""}) in page.elements


@pytest.mark.parametrize(
    ("snapshot", "words"),
    [
        (states.none_accepted(), "no-metadata The metadata service says that this node has no load balancer"),
        (
            states.snapshot_after(states.answer(states.body()), *[states.unreachable()] * 3),
            "starting There is no answer",
        ),
        (
            states.snapshot_after(
                states.answer(states.body(public=[states.pair("20.1.2.3")])), *[states.unreachable()] * 31
            ),
            "stale The last good answer is old; what is shown may have changed since. Reason: unreachable .",
        ),
    ],
)
async def test_other_states(snapshot: Snapshot, words: str) -> None:
    """Stale data and the lack of data are told in words."""
    assert words in (await page_of(snapshot)).text


async def test_age() -> None:
    """The age is that of the request."""
    async with api_running(DUAL_STACK) as api:
        texts = []
        for seconds in (59, 1, 3540, 86_400):
            api.clock.advance(seconds)
            texts.append(Page((await api.get("/")).text).text)

    ages = [re.findall(r"([0-9]+ [a-z]+) ago", text) for text in texts]
    assert ages == [["59 s"], ["1 min"], ["1 h"], ["1 d"]]


async def test_history() -> None:
    """The last changes come newest first."""
    first, second, third = (
        states.answer(states.body(outbound=[states.pair("52.1.1.1", private), states.pair(address)]))
        for address, private in (("52.3.3.3", "10.0.0.1"), ("52.2.2.2", "10.0.0.1"), ("52.2.2.2", "10.0.0.2"))
    )
    page = await page_of(states.snapshot_after(first, second, third))

    assert (
        "2026-01-02 03:04:25 UTC other rules "
        "2026-01-02 03:04:15 UTC -outbound 52.3.3.3 +outbound 52.2.2.2" in page.text
    )


async def test_no_injection() -> None:
    """Whatever a field holds shows as text: the node's name, a failure's detail, a change restored."""
    snapshot = states.snapshot_after(
        states.answer(states.body(public=[states.pair("20.1.2.3")])),
        Failure(reason=Reason.MALFORMED, detail=HOSTILE),
    )
    change = Change(at=states.EPOCH.utc, items=(f"+{HOSTILE}",))
    snapshot = replace(snapshot, state=replace(snapshot.state, changes=(change,)))
    async with api_running(snapshot, node_name=HOSTILE) as api:
        hostile = Page((await api.get("/")).text)
    harmless = await page_of(DUAL_STACK)

    assert hostile.text.count(HOSTILE) == 4
    assert {tag for tag, _ in hostile.elements} <= {tag for tag, _ in harmless.elements}
    assert (hostile.count("script"), hostile.count("img")) == (1, 0)
    assert not [name for _, attributes in hostile.elements for name in attributes if name.startswith("on")]


async def test_policy() -> None:
    """The policy allows this style and this script and nothing else; no asset comes from elsewhere."""
    async with api_running(DUAL_STACK) as api:
        reply = await api.get("/")
    page = Page(reply.text)
    policy = dict(part.strip().split(" ", 1) for part in reply.headers["Content-Security-Policy"].split(";"))

    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    for kind in ("style", "script"):
        digest = hashlib.sha256(page.inline[kind].encode()).digest()
        assert policy[f"{kind}-src"] == f"'sha256-{base64.b64encode(digest).decode()}'"
        assert page.count(kind) == 1
    assert policy["connect-src"] == "'self'"
    attributes = [pair for _, found in page.elements for pair in found.items()]
    assert not [name for name, _ in attributes if name == "style" or name.startswith("on")]
    links = [value or "" for name, value in attributes if name in ("href", "src", "action")]
    assert sorted(links) == ["data:,", "openapi.json", "v1/loadbalancer"]
    assert reply.headers["X-Content-Type-Options"] == "nosniff"


async def test_etag_of_the_data() -> None:
    """The page knows which event it shows already."""
    async with api_running(DUAL_STACK) as api:
        page, whole = Page((await api.get("/")).text), await api.get("/v1/loadbalancer")

    assert ("main", {"id": "state", "data-etag": whole.headers["Etag"]}) in page.elements


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        ("/?node=other", {}, 421),
        (f"/?node={NODE}", {}, 200),
        ("/?format=json", {}, 400),
        ("/", {"X-Forwarded-For": "10.0.0.1"}, 403),
        ("/index.html", {}, 404),
    ],
)
async def test_refusals(target: str, headers: dict[str, str], status: int) -> None:
    """The page is refused like data."""
    async with api_running(DUAL_STACK) as api:
        assert (await api.get(target, **headers)).status == status


async def test_head() -> None:
    """HEAD has the headers of the page, and no body."""
    async with api_running(DUAL_STACK) as api:
        reply = await api.get("/", method="HEAD")

    assert (reply.status, reply.body) == (200, b"")
    assert int(reply.headers["Content-Length"]) > 1000


# Egress

PROBE = parse_probe("stun:stun.example.org")


def observing(*flows: Flow, networks: str = "", probes: tuple[Probe, ...] = (PROBE,)) -> Snapshot:
    """An agent after a round of its probes, if it has any, with these networks declared."""
    observation = Observation(probes)
    if flows:
        observation = observation.after_round(flows, now=states.EPOCH, keep=86_400.0)
    declared = declared_networks(networks.split(",")) if networks else ()
    state = replace(DUAL_STACK.state, declared=declared, observation=observation)
    return replace(DUAL_STACK, state=state)


def flow(address: str, probe: Probe = PROBE) -> Flow:
    """A connection that a probe saw come from an address."""
    found = ip_address(address)
    return Flow(probe=probe, family=found.version, address=found, own=ip_address("10.240.0.4"))


def egress_of(page: Page) -> tuple[str, str]:
    """The text of the section, and its classes."""
    (classes,) = (found["class"] for _, found in page.elements if found.get("id") == "egress")
    return page.text.partition("Where it leaves from ")[2].partition(" What reaches this node")[
        0
    ], classes or ""


async def test_egress_alone() -> None:
    """Without a declaration and a probe there is one list, and no word of the other kinds."""
    text, classes = egress_of(await page_of(DUAL_STACK))

    assert text.startswith("20.10.5.4 20.10.5.34 2603:1020:10:5::34 From its instance-level")
    assert classes == "card half"
    assert not [word for word in ("Declared", "Observed", "unlisted") if word in text]


async def test_three_kinds() -> None:
    """Configured, declared and observed stand side by side, and what is not listed says so in words."""
    failed = Flow(probe=PROBE, family=6, failure=FlowFailure.NO_ROUTE, detail="Network is unreachable")
    snapshot = observing(flow("20.5.5.1"), flow("20.7.7.7"), failed, networks="20.5.5.0/31")
    page = await page_of(snapshot)
    text, classes = egress_of(page)

    assert text.startswith(
        "unlisted Connections leave from an address that is neither declared nor configured"
    )
    assert "declare its network (--egress-declared)" in text
    configured, _, rest = text.partition("Configured by Azure")[2].partition(" Declared by the operator ")
    declared, _, observed = rest.partition(" Observed by probes elsewhere ")
    assert "20.10.5.34 IPv4 is declared instead instance IP of 10.240.0.4" in configured
    assert configured.endswith("2603:1020:10:5::34 instance IP of fd00::10")
    assert declared == "20.5.5.0/31"
    assert "20.5.5.1 listed stun:stun.example.org:3478 1 connection, first 2026-01-02" in observed
    assert "20.7.7.7 ⚠ not listed stun:stun.example.org:3478" in observed
    assert "stun:stun.example.org:3478 IPv6 no-route Network is unreachable" in observed
    assert "Last round ended 2026-01-02 03:04:05 UTC ." in observed
    assert classes == "card unlisted"
    assert [
        found["class"] for tag, found in page.elements if tag == "li" and found.get("class") == "odd"
    ] == ["odd"]


@pytest.mark.parametrize(
    ("snapshot", "words", "classes"),
    [
        (observing(flow("20.10.5.4")), "agrees Every address that probes saw is declared", "card agrees"),
        (observing(flow("10.240.0.4")), "inside Only own or private addresses came back", "card inside"),
        (observing(), "off The first round of egress probes has not ended yet.", "card off"),
        (
            observing(Flow(probe=PROBE, family=4, failure=FlowFailure.NO_ANSWER)),
            "unanswered No probe answered in the last two rounds, or in any.",
            "card unanswered",
        ),
        (observing(networks="20.5.5.0/24", probes=()), "off No egress probe was asked", "card off"),
    ],
    ids=["agrees", "inside", "first round", "unanswered", "declared alone"],
)
async def test_egress_states(snapshot: Snapshot, words: str, classes: str) -> None:
    """Each state stands there as a word, with what it means and what to do."""
    text, found = egress_of(await page_of(snapshot))

    assert text.startswith(words)
    assert found == classes


@pytest.mark.parametrize(
    ("networks", "words"),
    [
        ("20.5.5.0/24,2603::/64", "From what the operator declared."),
        (
            "20.5.5.0/24",
            "From what the operator declared for one address family, and from what is configured",
        ),
    ],
)
async def test_basis_of_declared_egress(networks: str, words: str) -> None:
    """What is published says whether it rests on the operator's word alone."""
    assert words in egress_of(await page_of(observing(networks=networks)))[0]


async def test_egress_told_by_another() -> None:
    """What the node agent of a sidecar or an earlier run saw has no probes, and says so."""
    told = SharedEgress((), (ip_address("20.7.7.7"),), EgressState.UNLISTED)
    snapshot = replace(DUAL_STACK, state=replace(DUAL_STACK.state, told_egress=told))
    text, _ = egress_of(await page_of(snapshot))

    assert "20.7.7.7 ⚠ not listed as the node agent or an earlier run of this agent tells" in text


async def test_no_injection_by_a_probe() -> None:
    """Whatever a probe is called and however it failed shows as text."""
    hostile = replace(PROBE, host=HOSTILE)
    failed = Flow(probe=hostile, family=4, failure=FlowFailure.REJECTED, detail=HOSTILE)
    page = await page_of(observing(flow("20.7.7.7", hostile), failed, probes=(hostile,)))

    assert page.text.count(HOSTILE) == 3
    assert (page.count("script"), page.count("img")) == (1, 0)
