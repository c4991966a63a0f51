"""`doctor --direct`: the causes between a node and its metadata service, each over a socket."""

import json
from collections.abc import Callable
from email.utils import format_datetime

import pytest

from sidecar.simulator import Serving
from sidecar.simulator.documents import DOCUMENTS
from tests.doctor.support import Doctor, Report
from tests.support.raw_server import dropped_connections, raw_server, response
from tests.support.states import body, inbound, later, pair

BODY = body(public=[pair("192.0.2.4")], inbound_rules=[inbound("203.0.113.9", 80, 80)])
JSON = "Content-Type: application/json; charset=utf-8"
IMDS = "Server: IMDS/150.870.65.1854"
ERROR = b'{"error":"Bad request"}'

FAULTS = {
    "throttled": "throttled",
    "throttled-date": "throttled",
    "gone": "host-update",
    "unauthorized": "metadata-security-protocol",
    "forbidden": "metadata-security-protocol",
    "api-not-found": "api-not-found",
    "not-found": "api-not-found",
    "api-not-available": "load-balancer-api-not-ready",
    "not-currently-available": "load-balancer-api-not-ready",
    "missing-parameter": "request-refused",
    "parameter-not-allowed": "api-version-refused",
    "unexpected-request": "request-refused",
    "xml": "request-refused",
    "long-body": "request-too-long",
    "long-parameter-key": "request-too-long",
    "long-parameter-value": "request-too-long",
    "long-header-value": "request-too-long",
    "no-metadata-header": "metadata-header-missing",
    "method-not-allowed": "method-not-allowed",
    "request-timeout": "metadata-service-unavailable",
    "internal-error": "metadata-service-unavailable",
    "bad-gateway": "metadata-service-unavailable",
    "unavailable": "metadata-service-unavailable",
    "gateway-timeout": "metadata-service-unavailable",
    "redirect": "wrong-endpoint",
    "html": "wrong-endpoint",
    "empty": "answer-malformed",
    "not-json": "answer-malformed",
    "wrong-shape": "answer-malformed",
    "truncated": "answer-malformed",
    "reset": "metadata-service-unreachable",
    "no-metadata": "no-standard-load-balancer",
}
"""What goes wrong at the simulated service, and the cause that is named first."""

HEALTHY = sorted(
    DOCUMENTS.keys() - {"none", "empty", "bad-entries", "inbound-only", "ha-ports", "protocols", "internal"}
)
"""Documents of nodes whose way out is known."""

Respond = Callable[[bytes], bytes]


def answering(status: str, content: bytes = BODY, *headers: str) -> Respond:
    """A server that always says the same, as JSON."""
    return lambda _: response(status, content, JSON, *headers)


@pytest.mark.parametrize("document", HEALTHY)
async def test_healthy(service: Serving, doctor: Doctor, document: str) -> None:
    """A service that answers with data is no cause for alarm, whatever the data."""
    service.simulator.set_document(document)

    (await doctor("--direct")).is_healthy()


@pytest.mark.parametrize("fault", FAULTS)
async def test_faults(service: Serving, doctor: Doctor, fault: str) -> None:
    """Each fault of the service is named first, with the service's own words as evidence."""
    service.simulator.set_fault(fault)

    report = await doctor("--direct")

    report.names_first(FAULTS[fault])
    assert report.cause(FAULTS[fault])["remedy"]
    assert report.cause(FAULTS[fault])["link"] == f"docs/doctor.md#{FAULTS[fault]}"


async def test_throttled_by_how_much(service: Serving, doctor: Doctor) -> None:
    """Of throttling it says how many tries met it, and what the service asks for."""
    service.simulator.set_fault({"name": "throttled", "times": 2, "retryAfter": "7s"})

    report = await doctor("--direct")

    report.names_first("throttled", sure="certain")
    assert report.told("throttled").startswith("2 of 3 tries: HTTP 429: Too many requests, Retry-After 7 s")


async def test_silent(service: Serving, host: pytest.MonkeyPatch, doctor: Doctor) -> None:
    """A connection that is accepted and never answered is not taken for one that is dropped."""
    host.setenv("AZURE_LB_METADATA_IMDS_TIMEOUT", "100ms")
    host.setenv("HTTP_PROXY", "http://user:hunter2@proxy.example:3128")
    service.simulator.set_fault("hang")

    report = await doctor("--direct")

    report.names_first("metadata-service-silent")
    assert "HTTP_PROXY=http://proxy.example:3128" in report.told("metadata-service-silent")


async def test_slow(service: Serving, host: pytest.MonkeyPatch, doctor: Doctor) -> None:
    """An answer that comes after the agent has given up is a cause by itself."""
    host.setenv("AZURE_LB_METADATA_IMDS_TIMEOUT", "2s")
    service.simulator.set_fault({"name": "slow", "delay": "2.2s", "times": 1})

    report = await doctor("--direct", "--tries", "1")

    report.names_first("metadata-service-slow", sure="certain")


async def of_dropped_connections(host: pytest.MonkeyPatch, doctor: Doctor, *, host_ip: str) -> Report:
    """What is said in a pod whose connections are dropped, and whose node has this address."""
    host.setenv("AZURE_LB_METADATA_IMDS_TIMEOUT", "100ms")
    host.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    host.setenv("HOST_IP", host_ip)
    with dropped_connections() as url:
        host.setenv("AZURE_LB_METADATA_IMDS_ENDPOINT", url)
        return await doctor("--direct")


async def test_restriction(host: pytest.MonkeyPatch, doctor: Doctor) -> None:
    """In a pod outside the node's network, dropped connections are what AKS's restriction looks like."""
    report = await of_dropped_connections(host, doctor, host_ip="192.0.2.77")

    report.names_first("imds-restriction")
    assert "hostNetwork" in report.cause("imds-restriction")["remedy"]


async def test_dropped_in_the_network_of_the_node(host: pytest.MonkeyPatch, doctor: Doctor) -> None:
    """In the node's own network nothing is restricted, so dropped connections have another cause."""
    report = await of_dropped_connections(host, doctor, host_ip="127.0.0.1")

    report.names_first("wrong-endpoint")
    assert "imds-restriction" not in report.causes


async def test_refused(host: pytest.MonkeyPatch, doctor: Doctor, free_port: int) -> None:
    """Where nobody listens, an endpoint that is not the well-known one is to blame."""
    host.setenv("AZURE_LB_METADATA_IMDS_ENDPOINT", f"http://127.0.0.1:{free_port}")

    report = await doctor("--direct")

    report.names_first("wrong-endpoint", sure="likely")
    assert "Connection refused" in report.told("wrong-endpoint")


@pytest.mark.parametrize(
    ("respond", "shown"),
    [
        (answering("502 Bad Gateway", b"", "Via: 1.1 proxy.example (squid)"), "via: 1.1 proxy.example"),
        (answering("403 Forbidden", ERROR, "X-Squid-Error: ERR_ACCESS_DENIED 0"), "x-squid-error"),
        (answering("407 Proxy Authentication Required", b""), "407"),
        (answering("503 Service Unavailable", b"no healthy upstream", "Server: envoy"), "envoy"),
    ],
)
async def test_proxy(host: pytest.MonkeyPatch, doctor: Doctor, respond: Respond, shown: str) -> None:
    """What only a proxy says is told from what the service says, whatever the status."""
    async with raw_server(respond) as server:
        host.setenv("AZURE_LB_METADATA_IMDS_ENDPOINT", server.url)
        report = await doctor("--direct")

    report.names_first("proxy-in-the-way", sure="certain")
    assert shown in report.told("proxy-in-the-way")


@pytest.mark.parametrize(
    ("respond", "sure"),
    [
        (answering("403 Forbidden", b"", "x-ms-azure-host-authorization: value"), "certain"),
        (answering("403 Forbidden", b"", "Connection: close"), "likely"),
        (answering("421 Misdirected Request", b""), "likely"),
    ],
)
async def test_security_protocol(
    host: pytest.MonkeyPatch, doctor: Doctor, respond: Respond, sure: str
) -> None:
    """The Guest Proxy Agent is known by its header, and by statuses that the service does not have."""
    async with raw_server(respond) as server:
        host.setenv("AZURE_LB_METADATA_IMDS_ENDPOINT", server.url)
        report = await doctor("--direct")

    report.names_first("metadata-security-protocol", sure=sure)


async def test_header_not_asked_for(host: pytest.MonkeyPatch, doctor: Doctor) -> None:
    """Whoever answers with data without the header Metadata is not the service."""
    async with raw_server(answering("200 OK")) as server:
        host.setenv("AZURE_LB_METADATA_IMDS_ENDPOINT", server.url)
        report = await doctor("--direct")

    report.names_first("wrong-endpoint", sure="likely")


async def test_version_refused(host: pytest.MonkeyPatch, doctor: Doctor) -> None:
    """A version that is refused without naming others is a cause."""
    text = b'{"error":"Bad request. api-version is invalid or was not specified in the request."}'
    async with raw_server(answering("400 Bad Request", text, IMDS)) as server:
        host.setenv("AZURE_LB_METADATA_IMDS_ENDPOINT", server.url)
        report = await doctor("--direct")

    report.names_first("api-version-refused", sure="certain")


async def test_version_falls_back(service: Serving, host: pytest.MonkeyPatch, doctor: Doctor) -> None:
    """A version that is refused and replaced, as the agent does it, is none."""
    host.setenv("AZURE_LB_METADATA_IMDS_API_VERSION", "2019-01-01")

    (await doctor("--direct")).is_healthy()
    assert service.simulator.counters.by_status["400"] == 2


async def test_clock(host: pytest.MonkeyPatch, doctor: Doctor) -> None:
    """A clock that is hours from that of the service is wrong."""

    def respond(request: bytes) -> bytes:
        status = "200 OK" if b"Metadata: true" in request else "400 Bad Request"
        date = f"Date: {format_datetime(later(0).utc, usegmt=True)}"
        return response(status, BODY, JSON, date)

    async with raw_server(respond) as server:
        host.setenv("AZURE_LB_METADATA_IMDS_ENDPOINT", server.url)
        report = await doctor("--direct")

    report.names_first("clock-wrong", sure="likely")
    assert "ahead of that of the metadata service" in report.told("clock-wrong")


class TestData:
    """What the service has to say can itself be the cause."""

    async def test_basic(self, service: Serving, doctor: Doctor) -> None:
        """Nothing here and a public IP in the instance's metadata is the Basic SKU."""
        service.simulator.change({"document": "none", "instance": {"publicIp": "192.0.2.200"}})

        report = await doctor("--direct")

        report.names_first("basic-sku-only", sure="certain")
        assert "192.0.2.200" in report.told("basic-sku-only")

    async def test_empty(self, service: Serving, doctor: Doctor) -> None:
        """Three empty lists say the same as "none"."""
        service.simulator.set_document("empty")

        (await doctor("--direct")).names_first("no-standard-load-balancer", sure="certain")

    async def test_no_way_out(self, service: Serving, doctor: Doctor) -> None:
        """Rules without a way out mean a NAT gateway or a route table, unless that is as intended."""
        service.simulator.set_document("inbound-only")

        report = await doctor("--direct")

        report.names_first("nat-gateway-or-route-table", sure="likely")
        (await doctor("--direct", "--ignore", "nat-gateway-or-route-table")).is_healthy()

    async def test_listed_and_unused(self, service: Serving, doctor: Doctor) -> None:
        """Outbound addresses that nobody sees connections come from are listed and unused."""
        service.simulator.set_document("outbound-only")
        document = json.loads((await _document(service)).decode())
        (listed,) = {rule["frontendIpAddress"] for rule in document["loadbalancer"]["outboundRules"]}

        (await doctor("--direct", "--seen-from", listed)).is_healthy()
        report = await doctor("--direct", "--seen-from", "198.51.100.7")

        report.names_first("nat-gateway-or-route-table", sure="certain")
        assert listed in report.told("nat-gateway-or-route-table")

    async def test_wrong_entries(self, service: Serving, doctor: Doctor) -> None:
        """Entries that are left out are told, with the first of them."""
        service.simulator.set_document("bad-entries")

        (await doctor("--direct")).names_first("unusable-entries", sure="certain")


async def test_misspelt(host: pytest.MonkeyPatch, doctor: Doctor) -> None:
    """A variable that is no setting is told with the one that was meant."""
    host.setenv("AZURE_LB_METADATA_IMDS_ENDPONT", "http://192.0.2.1")

    report = await doctor("--direct")

    report.names_first("setting-misspelt")
    assert "AZURE_LB_METADATA_IMDS_ENDPOINT" in report.told("setting-misspelt")


async def test_load(service: Serving, doctor: Doctor) -> None:
    """A node that is well is asked four times, one of them without the header."""
    await doctor("--direct")

    assert service.simulator.counters.requests == 4
    assert service.simulator.counters.by_status == {"200": 3, "400": 1}


async def _document(service: Serving) -> bytes:
    from sidecar.sources.reading import new_session  # noqa: PLC0415 - one use

    url = f"{service.url}/metadata/loadbalancer?api-version=2020-10-01"
    async with new_session(Metadata="true") as session, session.get(url) as answer:
        return await answer.read()
