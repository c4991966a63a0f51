"""What is refused, in which form, and that nothing a client sends becomes a 500."""

import json
import logging
import random

import pytest

from sidecar.api import connections
from sidecar.api.application import Application, Configuration
from sidecar.core.instant import Instant
from sidecar.latest import Watch
from sidecar.metrics import Metrics
from tests.api.support import NODE, api_running, exchange, served
from tests.support import states
from tests.support.faults import CLIENTS_ONLY, Origin, fault
from tests.support.waiting import DEADLINE_S

DATA = states.snapshot_after(states.answer(states.body(public=[states.pair("20.1.2.3")])))
STARTING = states.snapshot_after(states.unreachable())

V1_PATHS = [
    "/v1/loadbalancer",
    "/v1/public-ip",
    "/v1/public-ips",
    "/v1/inbound-ips",
    "/v1/outbound-ips",
    "/v1/egress-ips",
    "/v1/inbound-rules",
    "/v1/outbound-rules",
    "/v1/private-ips",
    "/v1/private-ips/10.240.0.4",
    "/v1/reachable?protocol=tcp&port=443",
    "/v1/history",
    "/v1/raw",
]


@pytest.mark.parametrize("path", V1_PATHS)
async def test_before_data(path: str) -> None:
    """Before the first answer there is a 503 with its reason and a Retry-After."""
    async with api_running(STARTING) as api:
        reply = await api.get(path)

    assert reply.status == 503
    assert reply.headers["Retry-After"] == "1"
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.headers["Azure-LB-Metadata-Status"] == "starting"
    assert "Etag" not in reply.headers


async def test_reason_before_data() -> None:
    """The 503 before data names why the last attempt failed."""
    async with api_running(STARTING) as api:
        reply = await api.get("/v1/public-ips")

    assert "unreachable" in reply.json["detail"]


@pytest.mark.parametrize(
    "target",
    [
        "/v1/public-ips?colour=red",
        "/v1/public-ips?family=ipv4&family=ipv4",
        "/v1/public-ips?family=IPv4",
        "/v1/public-ips?family=",
        "/v1/public-ips?protocol=tcp",
        "/v1/public-ips?frontendPort=80",
        "/v1/outbound-rules?backendPort=80",
        "/v1/egress-ips?protocol=tcp",
        "/v1/public-ip?scope=public",
        "/v1/public-ip?privateIp=10.0.0.1",
        "/v1/loadbalancer?family=ipv4",
        "/v1/raw?family=ipv4",
        "/v1/loadbalancer?format=text",
        "/v1/raw?format=text",
        "/v1/public-ips?format=xml",
        "/v1/public-ips?privateIp=10.0.0.256",
        "/v1/public-ips?privateIp=%FF%00",
        "/v1/public-ips?scope=internal",
        "/v1/inbound-rules?protocol=t%20cp",
        "/v1/inbound-rules?protocol=%C5%BF",
        "/v1/inbound-rules?frontendPort=65536",
        "/v1/inbound-rules?frontendPort=-1",
        "/v1/inbound-rules?frontendPort=8%D9%A0",
        "/v1/public-ips?api-version=2020-10-01",
        "/v1/public-ips?" + "&".join(f"p{number}=1" for number in range(100)),
    ],
)
async def test_bad_parameters(target: str) -> None:
    """A parameter that is unknown, repeated, inapplicable or has a wrong value is a 400."""
    async with api_running(DATA) as api:
        reply = await api.get(target)

    assert reply.status == 400
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.json["status"] == 400
    assert reply.json["detail"]


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/public-ips/", "/v1/Public-IPs", "/v2/raw", "//v1/raw"])
async def test_unknown_paths(path: str) -> None:
    """There is nothing at other paths, whatever the method."""
    async with api_running(DATA) as api:
        replies = [await api.get(path), await api.get(path, method="POST")]

    assert [reply.status for reply in replies] == [404, 404]
    assert replies[0].headers["Content-Type"] == "application/problem+json"
    assert "code" not in replies[0].json  # that is how clients know this 404 from "there is none"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_methods(method: str) -> None:
    """Everything is read-only."""
    async with api_running(DATA) as api:
        reply = await api.get("/v1/public-ip", method=method)

    assert reply.status == 405
    assert reply.headers["Allow"] == "GET, HEAD"
    assert reply.json["title"] == "Method Not Allowed"


async def test_forwarded_requests() -> None:
    """Forwarded requests are refused with the reason, counted, and unknown paths stay unknown."""
    async with api_running(DATA) as api:
        reply = await api.get("/v1/public-ip", X_Forwarded_For="10.0.0.1")
        unknown = await api.get("/v1/x", X_Forwarded_For="10.0.0.1")
        direct = await api.get("/v1/public-ip")
        refused = api.metrics.registry.get_sample_value(
            "azure_lb_metadata_http_refused_clients_total", {"cause": "forwarded"}
        )

    assert (reply.status, unknown.status, direct.status) == (403, 404, 200)
    assert "Kubernetes API server" in reply.json["detail"]
    assert "port-forward" in reply.json["detail"]
    assert refused == 1


async def test_forwarded_requests_allowed() -> None:
    """The setting lets forwarded requests through."""
    async with api_running(DATA, allow_forwarded=True) as api:
        reply = await api.get("/v1/public-ip", X_Forwarded_For="10.0.0.1")

    assert reply.status == 200


async def test_node_parameter() -> None:
    """Naming this node changes nothing; naming another one is a 421."""
    async with api_running(DATA) as api:
        own = await api.get(f"/v1/public-ip?node={NODE}")
        other = await api.get("/v1/public-ip?node=other")
        imds = await api.metadata("/metadata/loadbalancer?api-version=2020-10-01&node=other")

    assert (own.status, own.text) == (200, "20.1.2.3\n")
    assert (other.status, other.json["title"]) == (421, "Misdirected Request")
    assert (imds.status, list(imds.json)) == (421, ["error"])


async def test_node_parameter_without_name() -> None:
    """An agent that does not know its node's name refuses every name."""
    async with api_running(DATA, node_name=None) as api:
        reply = await api.get("/v1/public-ip?node=any")

    assert reply.status == 421


@pytest.mark.parametrize("path", ["/v1/public-ip", "/metadata/loadbalancer?api-version=2020-10-01"])
async def test_defects(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """A defect is logged as an error event, and the client gets a 500 without details."""

    def broken() -> Instant:
        raise RuntimeError("secret")

    application = Application(Configuration(latest=Watch(DATA), clock=broken, metrics=Metrics()))
    with caplog.at_level(logging.ERROR):
        async with served(application) as get:
            reply = await get(path, Metadata="true")

    assert reply.status == 500
    assert b"secret" not in reply.body
    assert "json" in reply.headers["Content-Type"]
    assert [record.getMessage() for record in caplog.records] == ["request-failed"]


async def test_defect_that_lasts(caplog: pytest.LogCaptureFixture) -> None:
    """A defect that every request meets is logged at rising intervals, with how often it was met."""

    def broken() -> Instant:
        raise RuntimeError("secret")

    application = Application(Configuration(latest=Watch(DATA), clock=broken, metrics=Metrics()))
    with caplog.at_level(logging.ERROR):
        async with served(application) as get:
            for _ in range(9):
                await get("/v1/public-ip")

    assert [vars(record)["fields"]["count"] for record in caplog.records] == [1, 2, 4, 8]


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /v1/public-ip HTTP/1.0", 200),
        (b"GET http://any:80/v1/public-ip HTTP/1.1", 200),
        (b"GET /v1/%70ublic-ip HTTP/1.1", 200),
        (b"GET /v1/public-ip?format=%74ext HTTP/1.1", 200),
        (b"GET /v1/public-ip? HTTP/1.1", 200),
        (b"GET /v1/%ff%0d%0a HTTP/1.1", 404),
        (b"GET /metadata/%22%0a HTTP/1.1", 404),
        (b"OPTIONS * HTTP/1.1", 405),
        (b"CONNECT any:80 HTTP/1.1", 405),
        (b"CONNECT a:b:c HTTP/1.1", 400),
        (b"GET http://[::1/v1/public-ip HTTP/1.1", 400),
        (b"GET ftp://a:99999/ HTTP/1.1", 400),
        (b"GET /\xff\xfe HTTP/1.1", 400),
        (b"GET  HTTP/1.1", 400),
        (b"PRI * HTTP/2.0", 400),
        (b"\x16\x03\x01\x02\x00", 400),
    ],
)
async def test_odd_requests(request_line: bytes, status: int, caplog: pytest.LogCaptureFixture) -> None:
    """Odd requests are answered, never by a 500, and leave nothing in the log."""
    async with api_running(DATA) as api:
        reply = await exchange(api.address, request_line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert reply.split(b" ", 2)[1] == str(status).encode()
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


@pytest.mark.parametrize(
    "header",
    [
        b"Host: a:b:c",
        b"Host: x:99999",
        b"Host: \xc3\xa9",
        b"Host: x\r\nAccept: \xff\xfe",
        b'Host: x\r\nIf-None-Match: W/"\xff", *',
        b"Host: x\r\nExpect: foo",
        b"Host: x\r\nContent-Length: 0",
        b"Host: x\r\nRange: bytes=0-1",
        b"Host: x\r\nAccept-Encoding: gzip",
    ],
)
async def test_odd_headers(header: bytes) -> None:
    """Odd values of headers change nothing."""
    async with api_running(DATA) as api:
        request = b"GET /v1/public-ip HTTP/1.1\r\n%b\r\nConnection: close\r\n\r\n" % header
        reply = await exchange(api.address, request)

    assert reply.startswith(b"HTTP/1.1 200 ")
    assert reply.endswith(b"\r\n\r\n20.1.2.3\n")


@pytest.mark.parametrize(
    "request_", [b"NONSENSE\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"]
)
async def test_end_of_a_refusal(request_: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a client is lingered for, it sees at once that the answer has ended."""
    monkeypatch.setattr(connections, "_LINGER_SECONDS", 1000 * DEADLINE_S)
    async with api_running(DATA) as api:
        assert b"\r\n\r\n" in await exchange(api.address, request_)


@fault(
    Origin.CLIENTS,
    "Clients ask for nonsense",
    CLIENTS_ONLY.but(
        served="Nonsense gets an answer below 500 that says what is wrong; everybody else is served."
    ),
)
async def test_random_targets() -> None:
    """Random paths and queries are answered below 500, as JSON."""
    seeded = random.Random(16925)
    letters = "/v1?&=%=:[]{}#;@+.,~!$'()*familyprivateIp0aF-\u00e9"
    async with api_running(DATA) as api:
        for _ in range(300):
            target = "/v1/" + "".join(seeded.choices(letters, k=seeded.randrange(40)))
            raw = target.encode("latin-1")
            reply = await exchange(api.address, b"GET %b HTTP/1.0\r\n\r\n" % raw)
            status = int(reply.split(b" ", 2)[1])
            assert status < 500, target
            if b"problem+json" in reply:
                assert json.loads(reply.partition(b"\r\n\r\n")[2])["status"] == status
