"""What the metadata service is sent, and with which API version."""

import pytest

import sidecar
from sidecar.core.outcome import Reason
from sidecar.simulator import Serving
from sidecar.sources.imds import IMDSSource
from tests.sources.conftest import NewSource
from tests.sources.fetching import DOCUMENT, EMPTY, fetch_answer, fetch_failure
from tests.support.faults import Origin, Promise, fault
from tests.support.raw_server import raw_server, response


class TestRequest:
    """What the metadata service is sent."""

    async def test_only_the_needed_headers(self, new_source: NewSource) -> None:
        """The request is a GET of the documented path with four headers and nothing else."""
        async with raw_server(lambda _: response("200 OK", DOCUMENT)) as server:
            await fetch_answer(new_source(server.url))

        request, *headers = server.requests[0].decode().removesuffix("\r\n\r\n").split("\r\n")
        assert request == "GET /metadata/loadbalancer?api-version=2020-10-01&format=json HTTP/1.1"
        assert sorted(headers) == [
            "Accept-Encoding: identity",
            f"Host: {server.url.removeprefix('http://')}",
            "Metadata: true",
            f"User-Agent: azure-lb-metadata/{sidecar.__version__}",
        ]

    async def test_no_proxy(
        self, service: Serving, new_source: NewSource, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Proxy variables are ignored, as the service's documentation asks."""
        async with raw_server(lambda _: response("200 OK", EMPTY)) as proxy:
            for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
                monkeypatch.setenv(variable, proxy.url)
            monkeypatch.delenv("NO_PROXY", raising=False)
            monkeypatch.delenv("no_proxy", raising=False)

            await fetch_answer(new_source(service.url))

        assert proxy.connections == 0

    async def test_no_redirect(self, new_source: NewSource) -> None:
        """A redirect is rejected and not followed, wherever it leads."""
        async with raw_server(lambda _: response("200 OK", DOCUMENT)) as other:
            location = f"Location: {other.url}/metadata/loadbalancer"
            async with raw_server(lambda _: response("307 Temporary Redirect", b"", location)) as server:
                failure = await fetch_failure(new_source(server.url))

        assert (failure.reason, failure.status) == (Reason.REJECTED, 307)
        assert len(server.requests) == 1
        assert other.connections == 0

    async def test_cookies_are_not_kept(self, new_source: NewSource) -> None:
        """A cookie of one answer is not sent with the next request."""
        async with raw_server(lambda _: response("200 OK", DOCUMENT, "Set-Cookie: a=b")) as server:
            # By name: cookies of bare addresses are not kept by any client.
            source = new_source(server.url.replace("127.0.0.1", "localhost"))
            await fetch_answer(source)
            await fetch_answer(source)

        assert server.requests[0] == server.requests[1]

    async def test_one_connection(self, new_source: NewSource) -> None:
        """Attempts share one kept connection, also when the service answers with errors."""
        answers = [response("200 OK", DOCUMENT), response("503 Unavailable", b"{}"), response("404 No", b"")]
        async with raw_server(lambda _: answers[len(server.requests) - 1]) as server:
            source = new_source(server.url)
            for _ in answers:
                await source.fetch()

        assert (len(server.requests), server.connections) == (3, 1)

    async def test_closing(self, new_source: NewSource) -> None:
        """Leaving the context closes the connection."""
        async with raw_server(lambda _: response("200 OK", DOCUMENT)) as server:
            async with new_source(server.url) as source:
                await fetch_answer(source)

            with pytest.raises(RuntimeError):
                await source.fetch()


VERSIONS = b'{"apiVersions":["2017-03-01","2020-09-01","2021-02-01","2023-07-01","2099-01-01"]}'


class TestVersions:
    """The api-version gives way once the service refuses it."""

    @fault(
        Origin.SERVICE,
        "It no longer knows the API version asked for",
        Promise(
            served="Data of the newest version it lists that the agent knows, else of the oldest listed.",
            annotated="The same.",
            logged="`api-version-refused` once.",
            recovery="In the same attempt, for the life of the process.",
        ),
    )
    async def test_newest_known(
        self, service: Serving, source: IMDSSource, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The newest listed version that is known is used at once, and for the life of the process."""
        service.simulator.change({"versions": ["2021-02-01", "2023-07-01", "2099-01-01"]})

        answers = [await fetch_answer(source) for _ in range(3)]

        assert answers[0] is answers[2]
        assert service.simulator.counters.by_status == {"400": 1, "200": 3}
        last = service.simulator.counters.last_request
        assert last is not None
        assert dict(last.parameters)["api-version"] == "2023-07-01"
        assert [record.message for record in caplog.records] == ["api-version-refused"]

    async def test_oldest_of_unknown(self, service: Serving, source: IMDSSource) -> None:
        """Of versions that are all unknown the oldest is the safest."""
        service.simulator.change({"versions": ["2098-01-01", "2099-01-01", "2097-01-01"]})

        await fetch_answer(source)

        last = service.simulator.counters.last_request
        assert last is not None
        assert dict(last.parameters)["api-version"] == "2097-01-01"

    @fault(
        Origin.SERVICE,
        "It refuses the API version as 404, or as 400 without a list of others",
        Promise(
            served="Data of the newest version that `/metadata/versions` lists and the agent knows.",
            annotated="The same; `reason: rejected` while none is to be had.",
            logged="`api-version-refused` once.",
            recovery="In the same attempt, for the life of the process; the list is asked for once.",
        ),
    )
    @pytest.mark.parametrize(
        ("status", "refusal"),
        [
            ("404 Not Found", b'{ "error": "Not found. Invalid version requested" }'),
            ("404 Not Found", b'\xef\xbb\xbf{ "error": "Not found. Invalid version requested" }'),
            ("400 Bad Request", b'{"error":"Bad request. api-version is invalid."}'),
            ("400 Bad Request", b'{"error":"Bad request. api-version was not specified in the request."}'),
            ("400 Bad Request", b'{"error":"\\"2020-10-01\\" is not allowed for \\"api-version\\"."}'),
        ],
        ids=["404", "404-marked", "400", "400-old", "400-value"],
    )
    async def test_no_list(
        self, new_source: NewSource, caplog: pytest.LogCaptureFixture, *, status: str, refusal: bytes
    ) -> None:
        """A refusal that lists no versions is one question for them, and their newest known is used."""

        def respond(request: bytes) -> bytes:
            if b"/metadata/versions" in request:
                return response("200 OK", VERSIONS)
            known = b"api-version=2023-07-01" in request
            return response("200 OK", DOCUMENT) if known else response(status, refusal)

        async with raw_server(respond) as server:
            source = new_source(server.url)
            assert await fetch_answer(source) is await fetch_answer(source)
            asked = [request.split(b" ")[1].split(b"&")[0].decode() for request in server.requests]
        document = "/metadata/loadbalancer?api-version="
        assert asked == [
            *(f"{document}2020-10-01", "/metadata/versions", f"{document}2023-07-01"),
            f"{document}2023-07-01",
        ]
        assert [record.message for record in caplog.records] == ["api-version-refused"]

    @pytest.mark.parametrize(
        ("versions", "questions"),
        [
            (response("200 OK", b'{"apiVersions":["2017-03-01","2020-09-01"]}'), 1),
            (response("200 OK", b'{"apiVersions":"2023-07-01"}'), 1),
            (response("200 OK", b"<html>"), 1),
            (response("200 OK", b"[" * 100_000), 1),
            (response("503 Busy", VERSIONS), 3),
            (b"SSH-2.0\r\n\r\n", 3),
        ],
        ids=["too-old", "text", "html", "deep", "busy", "garbage"],
    )
    async def test_no_version_to_be_had(
        self, new_source: NewSource, *, versions: bytes, questions: int
    ) -> None:
        """Where no list can be had, or none that helps, the refusal stays, and the list is asked for once."""
        refusal = response("404 Not Found", b'{ "error": "Not found. Invalid version requested" }')
        async with raw_server(lambda asked: versions if b"/versions" in asked else refusal) as server:
            source = new_source(server.url)
            outcomes = [await fetch_failure(source) for _ in range(3)]
            asked = sum(b"/metadata/versions" in request for request in server.requests)
        assert {outcome.reason for outcome in outcomes} == {Reason.REJECTED}
        assert {outcome.detail for outcome in outcomes} == {"HTTP 404: Not found. Invalid version requested"}
        assert asked == questions

    @pytest.mark.parametrize("body", [b"", b"<Error/>", b'{"error":"Missing required parameter \\"a\\"."}'])
    async def test_other_refusals(self, new_source: NewSource, body: bytes) -> None:
        """A 400 that says nothing of the version is rejected, after one request."""
        async with raw_server(lambda _: response("400 Bad Request", body)) as server:
            assert (await fetch_failure(new_source(server.url))).reason is Reason.REJECTED
            assert len(server.requests) == 1

    async def test_list_with_a_mark(self, new_source: NewSource) -> None:
        """A byte order mark before the list of versions hides nothing."""
        listed = b'\xef\xbb\xbf{"error":"Bad request.","newest-versions":["2023-07-01"]}'
        refusal = response("400 Bad Request", listed)
        async with raw_server(
            lambda asked: response("200 OK", DOCUMENT) if b"2023-07-01" in asked else refusal
        ) as server:
            assert (await fetch_answer(new_source(server.url))).body == DOCUMENT

    async def test_all_refused(self, new_source: NewSource, caplog: pytest.LogCaptureFixture) -> None:
        """A service that refuses whatever it lists is asked with each version once, then with the last."""
        body = b'{"error":"Bad request.","newest-versions":["2023-07-01","2021-02-01","2020-10-01"]}'
        async with raw_server(lambda _: response("400 Bad Request", body)) as server:
            source = new_source(server.url)
            reasons = {(await fetch_failure(source)).reason for _ in range(4)}

        assert reasons == {Reason.REJECTED}
        asked = [request.split(b"api-version=")[1][:10].decode() for request in server.requests]
        assert asked == ["2020-10-01", "2023-07-01", "2023-07-01", "2021-02-01", "2021-02-01", "2021-02-01"]
        assert [record.message for record in caplog.records] == ["api-version-refused"] * 2

    async def test_list_outside_of_a_400(self, new_source: NewSource) -> None:
        """Only a 400 changes the version."""
        body = b'{"error":"Busy.","newest-versions":["2023-07-01"]}'
        async with raw_server(lambda _: response("503 Busy", body)) as server:
            await fetch_failure(new_source(server.url))

        assert len(server.requests) == 1
