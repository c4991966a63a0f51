"""Headers of data answers, conditional requests, and bodies that are made once per change."""

from dataclasses import replace

import pytest

from sidecar.api.parameters import etag_matches
from sidecar.api.request import Facts, ParsedRequest, RawRequest, Route
from sidecar.api.response import Responses
from tests.api.support import NODE, api_running
from tests.support import states

BODY = states.body(
    public=[states.pair("20.1.2.3")], inbound_rules=[states.inbound("20.20.20.20", 443, 30443)]
)
DATA = states.snapshot_after(states.answer(BODY))

TARGETS = [
    "/v1/loadbalancer",
    "/v1/public-ip",
    "/v1/public-ip?format=json",
    "/v1/public-ips",
    "/v1/public-ips?format=text",
    "/v1/inbound-ips",
    "/v1/outbound-ips?format=text",
    "/v1/egress-ips",
    "/v1/inbound-rules",
    "/v1/inbound-rules?format=text",
    "/v1/outbound-rules",
    "/v1/raw",
    "/metadata/loadbalancer?api-version=2020-10-01",
]


@pytest.mark.parametrize("target", TARGETS)
async def test_headers(target: str) -> None:
    """Every data answer names the node, and gives the status and the age of the data."""
    async with api_running(DATA) as api:
        api.clock.advance(7.9)
        reply = await api.metadata(target)

    document = DATA.state.document
    assert document is not None
    expected = {
        "Vary": "Accept",
        "Age": "7",
        "Azure-LB-Metadata-Node": NODE,
        "Azure-LB-Metadata-Status": "ok",
        "Azure-LB-Metadata-Revision": document.revision,
        "Azure-LB-Metadata-Observed-At": "2026-01-02T03:04:05Z",
        "Azure-LB-Metadata-Source": "imds",
        "Server": "azure-lb-metadata",
    }
    assert reply.status == 200
    assert reply.headers.items() >= expected.items()
    assert reply.headers["Etag"].startswith('"')


@pytest.mark.parametrize("target", TARGETS)
async def test_not_modified(target: str) -> None:
    """A client that has these bytes gets 304 with the same headers, and no body."""
    async with api_running(DATA) as api:
        full = await api.metadata(target)
        again = await api.metadata(target, If_None_Match=full.headers["Etag"])
        other = await api.metadata(target, If_None_Match='"0"')

    kept = ("Etag", "Vary", "Age", "Azure-LB-Metadata-Revision", "Azure-LB-Metadata-Status")
    assert (again.status, again.body) == (304, b"")
    assert [again.headers[name] for name in kept] == [full.headers[name] for name in kept]
    assert (other.status, other.body) == (200, full.body)


@pytest.mark.parametrize("target", TARGETS)
async def test_head(target: str) -> None:
    """HEAD gives the headers of GET, length included, and no body."""
    async with api_running(DATA) as api:
        full, head = await api.metadata(target), await api.get(target, method="HEAD", Metadata="true")

    del full.headers["Date"], head.headers["Date"]
    assert (head.status, head.headers, head.body) == (200, full.headers, b"")


async def test_etags_of_forms_differ() -> None:
    """Each form has its own ETag, so that a client never confuses them."""
    async with api_running(DATA) as api:
        as_json = await api.get("/v1/public-ips")
        as_text = await api.get("/v1/public-ips", Accept="text/plain", If_None_Match=as_json.headers["Etag"])

    assert as_text.status == 200
    assert as_text.headers["Etag"] != as_json.headers["Etag"]


async def test_etag_follows_its_own_bytes() -> None:
    """A new rule changes the ETag of the rules and leaves that of the public IP alone."""
    more = states.body(
        public=[states.pair("20.1.2.3")],
        inbound_rules=[states.inbound("20.20.20.20", port, port) for port in (80, 443)],
    )
    async with api_running(DATA) as api:
        before = [await api.get(path) for path in ("/v1/public-ip", "/v1/inbound-rules")]
        api.latest.set(states.snapshot_after(states.answer(BODY), states.answer(more)))
        after = [await api.get(path) for path in ("/v1/public-ip", "/v1/inbound-rules")]

    assert before[0].headers["Etag"] == after[0].headers["Etag"]
    assert before[1].headers["Etag"] != after[1].headers["Etag"]
    assert before[0].headers["Azure-LB-Metadata-Revision"] != after[0].headers["Azure-LB-Metadata-Revision"]


@pytest.mark.parametrize(
    ("header", "matches"),
    [
        ('"abc"', True),
        ('W/"abc"', True),
        ("*", True),
        ('"x", "abc"', True),
        ('"x",W/"abc" , "y"', True),
        ('"a,b", "abc"', True),
        ('"x"', False),
        ("abc", False),
        ("", False),
        ('"abc', False),
        ('"ab"c"', False),
    ],
)
def test_etag_lists(header: str, *, matches: bool) -> None:
    """If-None-Match takes lists, weak ETags and a star; anything else matches nothing."""
    assert etag_matches(header, '"abc"') is matches


async def test_repeated_condition_headers() -> None:
    """Several If-None-Match lines are one list."""
    async with api_running(DATA) as api:
        etag = (await api.get("/v1/public-ip")).headers["Etag"]
        url = f"http://{api.address[0]}:{api.address[1]}/v1/public-ip"
        headers = [("If-None-Match", '"x"'), ("If-None-Match", etag)]
        async with api.session.get(url, headers=headers) as response:
            status = response.status

    assert status == 304


async def test_age_follows_the_last_answer() -> None:
    """A poll without changes resets the age and keeps the ETag."""
    async with api_running(DATA) as api:
        api.clock.advance(10)
        old = await api.get("/v1/public-ip")
        api.latest.set(states.snapshot_after(states.answer(BODY), states.answer(BODY)))
        new = await api.get("/v1/public-ip")

    assert (old.headers["Age"], new.headers["Age"]) == ("10", "0")
    assert new.headers["Azure-LB-Metadata-Observed-At"] == "2026-01-02T03:04:15Z"
    assert old.headers["Etag"] == new.headers["Etag"]


async def test_stale_data() -> None:
    """Stale data are served, and marked as stale."""
    failures = [states.unreachable()] * 31
    async with api_running(states.snapshot_after(states.answer(BODY), *failures)) as api:
        reply = await api.get("/v1/loadbalancer")

    assert (reply.json["status"], reply.json["reason"]) == ("stale", "unreachable")
    assert reply.headers["Azure-LB-Metadata-Status"] == "stale"


async def test_age_and_status_fit_without_a_timer() -> None:
    """A request that is read before the timer of staleness runs, as after a suspension, gets `stale`."""
    fresh = states.snapshot_after(states.answer(states.body(public=[states.pair("20.1.2.3")])))
    async with api_running(fresh) as api:
        before = await api.get("/v1/loadbalancer")
        api.clock.advance(3600)
        after, again = await api.get("/v1/loadbalancer"), await api.get("/v1/loadbalancer")

    assert (before.headers["Azure-LB-Metadata-Status"], before.headers["Age"]) == ("ok", "0")
    for reply in (after, again):
        assert (reply.headers["Azure-LB-Metadata-Status"], reply.headers["Age"]) == ("stale", "3600")


async def test_restored_data() -> None:
    """Restored data are served as stale with their age, but not raw."""
    document = DATA.state.document
    assert document is not None
    state = states.restored(document, age=90)
    async with api_running(states.snapshot_of(state)) as api:
        reply, raw = await api.get("/v1/public-ip"), await api.get("/v1/raw")

    assert reply.text == "20.1.2.3\n"
    assert reply.headers["Age"] == "90"
    assert reply.headers["Azure-LB-Metadata-Source"] == "restored"
    assert reply.headers["Azure-LB-Metadata-Status"] == "stale"
    assert raw.status == 503
    assert raw.headers["Retry-After"] == "1"


class CountingEndpoint:
    """An endpoint that counts how often its body is made."""

    def __init__(self, *, per_answer: bool = False) -> None:
        self.made = 0
        self.request = ParsedRequest(
            route=Route(path="/v1/counted", build=self._build, per_answer=per_answer)
        )

    def _build(self, facts: Facts, request: ParsedRequest) -> bytes:
        del facts, request
        self.made += 1
        return b"body"


def raw(target: str = "/v1/counted", accept: str = "*/*") -> RawRequest:
    """Stand for a plain GET."""
    return RawRequest("GET", target, accept, metadata=False, forwarded=False)


def test_bodies_are_made_once() -> None:
    """Polls without changes make no new body; other data do."""
    counting = CountingEndpoint()
    responses = Responses(node_name=NODE, node_address=None, snapshot=DATA)
    for outcomes in range(1, 5):
        responses.refresh(states.snapshot_after(*[states.answer(BODY)] * outcomes, state=DATA.state))
        for accept in ("*/*", "application/json"):
            responses.prepare(raw(accept=accept), counting.request)
    assert counting.made == 1

    responses.refresh(states.none_accepted())
    responses.prepare(raw(), counting.request)
    assert counting.made == 2


def test_raw_bodies_are_made_once_per_answer() -> None:
    """A body per answer is made anew after each answer."""
    counting = CountingEndpoint(per_answer=True)
    responses = Responses(node_name=NODE, node_address=None, snapshot=DATA)
    for outcomes in range(1, 4):
        responses.refresh(states.snapshot_after(*[states.answer(BODY)] * outcomes, state=DATA.state))
        responses.prepare(raw(), counting.request)

    assert counting.made == 3


def test_prepared_answers_are_found() -> None:
    """A repeated request is not parsed again until the next snapshot."""
    responses = Responses(node_name=NODE, node_address=None, snapshot=DATA)
    prepared = responses.prepare(raw(), CountingEndpoint().request)
    assert responses.find(raw()) is prepared

    responses.refresh(states.snapshot_after(states.answer(BODY)))
    assert responses.find(raw()) is None


def test_memory_is_bounded() -> None:
    """Neither many nor long requests make the caches grow beyond their bound."""
    responses = Responses(node_name=NODE, node_address=None, snapshot=DATA)
    request = CountingEndpoint().request
    for number in range(2000):
        responses.prepare(raw(f"/v1/counted?{number}"), replace(request, frontend_port=number))
    responses.prepare(raw(accept="x" * 1000), request)

    assert len(responses._prepared) <= 512
    assert len(responses._bodies) <= 512
    assert responses.find(raw(accept="x" * 1000)) is None
