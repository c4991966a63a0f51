"""`get` without an answer: what is asked again, and what fails at once."""

import pytest

from sidecar.core.state import State
from sidecar.simulator import Serving
from tests.commands.get.support import Get, NewAgent
from tests.support.raw_server import Ending, raw_server, response
from tests.support.states import EPOCH, snapshot_of


class TestPatience:
    """What is worth asking again is asked again until `--timeout`; then 4."""

    async def test_metadata_service_recovers(self, get: Get, service: Serving) -> None:
        """A passing failure of the metadata service is not seen."""
        service.simulator.set_fault({"name": "unavailable", "times": 1})

        assert (await get("public-ips")).code == 0
        assert service.simulator.counters.by_status == {"503": 1, "200": 1}

    @pytest.mark.parametrize(
        "fault", ["unavailable", "gone", "throttled", "not-currently-available", "reset", "hang"]
    )
    async def test_metadata_service_stays_away(self, get: Get, service: Serving, fault: str) -> None:
        """A lasting failure is nothing reached in time, with the last reason."""
        service.simulator.set_fault(fault)

        ended = await get("public-ip", "--timeout=300ms")

        assert (ended.code, ended.out) == (4, "")
        assert "no answer within 0.3 s" in ended.err

    async def test_agent_starts(self, get: Get) -> None:
        """An agent that has no answer yet is asked again."""
        problem = response("503 Service Unavailable", b"{}", "Content-Type: application/problem+json")

        def respond(_: bytes) -> bytes:
            # The first request only finds out whether an agent is there.
            return problem if len(server.requests) <= 2 else response("200 OK", b"20.7.7.7\n")

        async with raw_server(respond) as server:
            ended = await get("public-ip", f"--upstream={server.url}")

        assert (ended.code, ended.out) == (0, "20.7.7.7\n")
        assert len(server.requests) == 3

    async def test_terminal_escapes(self, get: Get) -> None:
        """What would act on a terminal is not printed, whoever says it."""
        async with raw_server(lambda _: response("200 OK", b"20.7.7.7\x1b[2J\n")) as server:
            ended = await get("public-ips", f"--upstream={server.url}")

        assert (ended.code, ended.out) == (1, "")
        assert "not printable text" in ended.err

    async def test_agent_without_an_answer(self, get: Get, service: Serving, new_agent: NewAgent) -> None:
        """An agent that gets no answer itself is still the one that is asked."""
        await new_agent(snapshot_of(State(started=EPOCH)))

        ended = await get("public-ip", "--timeout=3s")

        assert ended.code == 4
        assert "No response from the metadata service yet" in ended.err
        assert service.simulator.counters.requests == 0

    async def test_agent_that_drops_connections(self, get: Get) -> None:
        """Something that listens and does not answer is asked until the time is up."""
        async with raw_server(lambda _: b"", Ending.RESET) as server:
            ended = await get("public-ip", f"--upstream={server.url}", "--timeout=300ms")

        assert ended.code == 4
        assert f"no agent answers at {server.url}" in ended.err


class TestFailure:
    """Asking again would not help: 1."""

    @pytest.mark.parametrize("fault", ["xml", "forbidden", "redirect", "html", "not-json", "empty"])
    async def test_metadata_service(self, get: Get, service: Serving, fault: str) -> None:
        """A refusal or something that is no document fails at once, in one line."""
        service.simulator.set_fault(fault)

        ended = await get("public-ip")

        assert (ended.code, ended.out) == (1, "")
        assert ended.err.count("\n") == 1
        assert service.simulator.counters.by_path["/metadata/loadbalancer"] == 1

    @pytest.mark.parametrize(
        "status", ["400 Bad Request", "403 Forbidden", "404 Not Found", "301 Moved", "500 Error"]
    )
    async def test_something_else_at_that_port(self, get: Get, status: str) -> None:
        """What is no agent's answer is never taken for one, not even a 404."""
        headers = ("Content-Type: text/html", "Location: http://127.0.0.1:9/")
        async with raw_server(lambda _: response(status, b"<h1>Welcome</h1>", *headers)) as server:
            ended = await get("public-ip", f"--upstream={server.url}")

        assert (ended.code, ended.out) == (1, "")
        assert "Welcome" in ended.err

    async def test_older_agent(self, get: Get) -> None:
        """The 404 of an agent that does not know what is asked is no answer, and so not "there is none"."""
        problem = b'{"title":"Not Found","status":404,"detail":"There is nothing at \'/v1/history\'."}'
        answered = response("404 Not Found", problem, "Content-Type: application/problem+json")
        async with raw_server(lambda _: answered) as server:
            ended = await get("history", f"--upstream={server.url}")

        assert (ended.code, ended.out) == (1, "")
        assert "There is nothing at '/v1/history'." in ended.err

    @pytest.mark.parametrize("output", ["json", "yaml", "env"])
    async def test_lies(self, get: Get, output: str) -> None:
        """An answer that is none of an agent's is a failure in one line."""
        async with raw_server(lambda _: response("200 OK", b"<h1>Welcome</h1>")) as server:
            ended = await get("loadbalancer", "-o", output, f"--upstream={server.url}")

        assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
        assert "JSON" in ended.err
