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
from sidecar.core.outcome import Failure, Reason
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
