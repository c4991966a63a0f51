"""What a node agent is sent by its sidecar."""

import pytest

import sidecar
from sidecar.core.document import EMPTY
from tests.api.support import NODE, api_running
from tests.core.examples import FULL
from tests.core.upstream import body as agent_body
from tests.sources.asking_agents import DATA, GOOD, good_body, header
from tests.sources.conftest import NewUpstream
from tests.sources.fetching import answered
from tests.support.faults import Origin, Promise, fault
from tests.support.raw_server import raw_server, response


class TestRequest:
    """What is sent."""

    async def test_first_and_next(self, new_upstream: NewUpstream) -> None:
        """One connection; the first request waits a little, the next ones long, for anything but the last."""
        told = await good_body()
        answers = [response("200 OK", told, *GOOD), response("304 Not Modified", b"", *GOOD)]
        async with raw_server(lambda _: answers[min(len(server.requests), 2) - 1]) as server:
            source = new_upstream(server.url, wait=60)
            for _ in range(2):
                answered(await source.fetch())

        first, second = server.requests
        assert first.startswith(f"GET /v1/loadbalancer?node={NODE} HTTP/1.1\r\n".encode())
        assert (header(first, "Prefer"), header(second, "Prefer")) == ("wait=5", "wait=60")
        assert (header(first, "If-None-Match"), header(second, "If-None-Match")) == (None, '"one"')
        assert header(first, "User-Agent") == f"azure-lb-metadata/{sidecar.__version__}"
        assert header(first, "Accept") == "application/json"
        assert {header(first, name) for name in ("Authorization", "Cookie", "Metadata")} == {None}
        assert server.connections == 1

    @fault(
        Origin.SERVICE,
        "A sidecar's node agent answers at once though it was asked to wait, and always the same",
        Promise(
            served="What it says.",
            annotated="Not affected: a sidecar annotates nothing.",
            logged="Nothing.",
            recovery="It is asked once every poll interval, whatever it says of having waited.",
        ),
    )
    @pytest.mark.parametrize("status", ["ok", "no-metadata", "stale"])
    async def test_answer_at_once(self, new_upstream: NewUpstream, status: str) -> None:
        """The same answer at once is no news, whatever it says: the next request does not follow at once."""
        document = EMPTY if status == "no-metadata" else FULL
        told = agent_body(document, status=status, node=NODE)
        answer = response("200 OK", told, *GOOD, "Preference-Applied: wait=30")
        async with raw_server(lambda _: answer) as server:
            source = new_upstream(server.url)
            outcomes = [answered(await source.fetch()) for _ in range(5)]

        assert [outcome.held for outcome in outcomes] == [True, False, False, False, False]

    async def test_without_wait(self, new_upstream: NewUpstream) -> None:
        """A client that is not to wait, and does not know its node, says nothing of either."""
        told = await good_body()
        async with raw_server(lambda _: response("200 OK", told, *GOOD)) as server:
            source = new_upstream(server.url, wait=0, node_name=None)
            assert not answered(await source.fetch()).held

        assert server.requests[0].startswith(b"GET /v1/loadbalancer HTTP/1.1\r\n")
        assert header(server.requests[0], "Prefer") is None

    async def test_after_a_failure(self, new_upstream: NewUpstream) -> None:
        """After a failure the agent is asked for an answer at once, and held requests follow."""
        told = await good_body()
        answers = [
            response("200 OK", told, *GOOD),
            response("502 Bad Gateway"),
            response("304 Not Modified", b"", *GOOD),
            response("304 Not Modified", b"", *GOOD),
        ]
        async with raw_server(lambda _: answers[len(server.requests) - 1]) as server:
            source = new_upstream(server.url)
            outcomes = [await source.fetch() for _ in range(4)]

        assert [header(request, "Prefer") for request in server.requests] == [
            "wait=5",
            "wait=30",
            None,
            "wait=30",
        ]
        assert [outcome.held for outcome in map(answered, outcomes[2:])] == [True, False]

    async def test_environment_names_no_proxy(
        self, new_upstream: NewUpstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A proxy of the environment is not used."""
        async with api_running(DATA) as api, raw_server(lambda _: b"") as proxy:
            monkeypatch.setenv("http_proxy", proxy.url)
            answered(await new_upstream(api.url).fetch())
        assert proxy.connections == 0
