"""`get`: one answer of the agent, or of the metadata service itself, and an exit code."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import yaml

from sidecar.core.addresses import parse_address
from sidecar.core.document import Document
from sidecar.core.outcome import NONE
from sidecar.core.state import Snapshot, State
from sidecar.simulator import Serving
from tests.api.support import NODE, api_running
from tests.commands.conftest import Get
from tests.support.raw_server import Ending, raw_server, response
from tests.support.states import (
    EMPTY_BODY,
    EPOCH,
    answer,
    body,
    inbound,
    none_accepted,
    pair,
    restored,
    snapshot_after,
    snapshot_of,
)

BODY = body(
    public=[pair("20.1.2.3"), pair("20.9.9.9", "10.240.0.5"), pair("2001:db8::7", "fd00::4")],
    inbound_rules=[inbound("20.20.20.20", 443, 30443), inbound("2001:db8::20", 53, 53, protocol="Udp")],
    outbound=[pair("52.1.1.1")],
)
FULL: Document = answer(BODY).document
NO_PUBLIC_IP = body(outbound=[pair("52.1.1.1")])

REACHABLE = ("reachable protocol=tcp port=30443",)
"""What needs parameters."""

TEXTS = {
    "public-ip": "20.9.9.9\n",
    "public-ips": "20.1.2.3\n20.9.9.9\n2001:db8::7\n",
    "inbound-ips": "20.20.20.20\n2001:db8::20\n",
    "outbound-ips": "52.1.1.1\n",
    "egress-ips": "20.1.2.3\n20.9.9.9\n2001:db8::7\n",
    "inbound-rules": "tcp 20.20.20.20:443 -> 10.240.0.4:30443\nudp [2001:db8::20]:53 -> 10.240.0.4:53\n",
    "outbound-rules": "10.240.0.4 -> 52.1.1.1\n",
}
"""What each answer is as text on a node whose address is 10.240.0.5."""

VARIABLES = f"""\
AZURE_LB_NODE={NODE}
AZURE_LB_STATUS=ok
AZURE_LB_PUBLIC_IP=20.9.9.9
AZURE_LB_PUBLIC_IPV6=2001:db8::7
AZURE_LB_PUBLIC_IPS=20.1.2.3,20.9.9.9,2001:db8::7
AZURE_LB_INBOUND_IPS=20.20.20.20,2001:db8::20
AZURE_LB_OUTBOUND_IPS=52.1.1.1
AZURE_LB_EGRESS_IPS=20.1.2.3,20.9.9.9,2001:db8::7
"""

NewAgent = Callable[[Snapshot], Any]


@pytest.fixture
async def new_agent(host: pytest.MonkeyPatch) -> AsyncIterator[NewAgent]:
    """Starts an agent's API on this host, where `get` looks for it; gives its URL."""
    async with AsyncExitStack() as stack:

        async def start(snapshot: Snapshot) -> str:
            running = api_running(snapshot, node_address=parse_address("10.240.0.5"))
            api = await stack.enter_async_context(running)
            address = "{}:{}".format(*api.address)
            host.setenv("AZURE_LB_METADATA_LISTEN", address)
            return f"http://{address}"

        yield start


@pytest.fixture(params=["agent", "metadata service"])
async def respondent(
    request: pytest.FixtureRequest, service: Serving, new_agent: NewAgent, host: pytest.MonkeyPatch
) -> str:
    """Both of them know `BODY`, and the same of the node; one of them is asked."""
    service.simulator.set_document({"raw": BODY.decode()})
    host.setenv("NODE_NAME", NODE)
    host.setenv("HOST_IP", "10.240.0.5")
    if request.param == "agent":
        await new_agent(snapshot_after(answer(BODY)))
    return str(request.param)


@pytest.mark.usefixtures("respondent")
class TestForms:
    """Each answer in each form is the same, whoever is asked."""

    @pytest.mark.parametrize("what", TEXTS)
    async def test_text(self, get: Get, what: str) -> None:
        """Text is one item per line, and the default where there is one."""
        ended = await get(what)

        assert (ended.code, ended.out, ended.err) == (0, TEXTS[what], "")
        assert await get(what, "-o", "text") == ended

    @pytest.mark.parametrize("what", TEXTS)
    async def test_json_and_yaml(self, get: Get, what: str) -> None:
        """JSON is indented, YAML says the same without document marks."""
        as_json, as_yaml = await get(what, "-o", "json"), await get(what, "--output=yaml")

        value = json.loads(as_json.out)
        assert (as_json.code, as_yaml.code) == (0, 0)
        assert as_json.out == json.dumps(value, indent=2) + "\n"
        assert yaml.safe_load(as_yaml.out) == value
        assert "..." not in as_yaml.out
        assert isinstance(value, str if what == "public-ip" else list)

    async def test_document(self, get: Get) -> None:
        """Without a word it is the whole document, as JSON, with what it is worth."""
        ended = await get()

        value = json.loads(ended.out)
        assert ended.code == 0
        assert list(value) == ["node", "status", "reason", "revision", "changedAt", "loadbalancer"]
        assert (value["node"], value["status"], value["revision"]) == (NODE, "ok", FULL.revision)
        assert value["loadbalancer"] == FULL.wire()

    async def test_document_as_yaml(self, get: Get) -> None:
        """As YAML it keeps the order of its members."""
        ended = await get("loadbalancer", "-o", "yaml")

        assert ended.out.startswith(f"node: {NODE}\nstatus: ok\nreason: null\nrevision: ")
        assert yaml.safe_load(ended.out)["loadbalancer"] == FULL.wire()

    async def test_raw(self, get: Get) -> None:
        """`raw` is what the metadata service said, under its own outer key."""
        ended = await get("raw")

        assert ended.code == 0
        assert json.loads(ended.out) == json.loads(BODY)

    async def test_variables(self, get: Get) -> None:
        """`-o env` is the lines that a shell sources."""
        ended = await get("-o", "env")

        assert (ended.code, ended.out) == (0, VARIABLES)

    async def test_private_ips(self, get: Get) -> None:
        """The facts are grouped per private IP address, or those of one of them."""
        all_of_them, one = await get("private-ips"), await get("private-ips/10.240.0.5")

        assert (all_of_them.code, all_of_them.out) == (0, "10.240.0.4\n10.240.0.5\nfd00::4\n")
        assert (one.code, json.loads(one.out)["publicIps"]) == (0, ["20.9.9.9"])

    async def test_unknown_private_ip(self, get: Get) -> None:
        """A private IP address that is not known is none, with those that are."""
        ended = await get("private-ips/10.9.9.9")

        assert (ended.code, ended.out) == (3, "")
        assert "10.240.0.4" in ended.err

    async def test_parameters(self, get: Get) -> None:
        """Parameters of the HTTP API are taken as NAME=VALUE."""
        reachable = await get("reachable", "protocol=tcp", "port=30443")
        rules = await get("inbound-rules", "family=ipv6", "-o", "json")

        assert (reachable.code, reachable.out.splitlines()[-1]) == (0, "20.20.20.20:443")
        assert [rule["frontendIpAddress"] for rule in json.loads(rules.out)] == ["2001:db8::20"]

    async def test_asked(self, get: Get, respondent: str, service: Serving) -> None:
        """The one is asked, and the other is not."""
        await get("public-ip")

        assert service.simulator.counters.requests == (0 if respondent == "agent" else 1)

    async def test_no_text_form(self, get: Get) -> None:
        """A document has no text form, which is wrong usage."""
        ended = await get("loadbalancer", "-o", "text")

        assert (ended.code, ended.out) == (2, "")
        assert "-o json" in ended.err


async def test_variables_without_ipv6(get: Get, new_agent: NewAgent) -> None:
    """Of an agent without an IPv6 address only the other one is asked for."""
    await new_agent(snapshot_after(answer(body(public=[pair("20.1.2.3")]))))

    lines = (await get("-o", "env")).out.splitlines()

    assert "AZURE_LB_PUBLIC_IP=20.1.2.3" in lines
    assert "AZURE_LB_PUBLIC_IPV6=" in lines


class TestNone:
    """There is an answer, and it is "there is none": 3."""

    @pytest.mark.parametrize("output", ["text", "json", "yaml"])
    @pytest.mark.parametrize("who", ["agent", "metadata service"])
    async def test_empty_list(
        self, get: Get, service: Serving, new_agent: NewAgent, output: str, who: str
    ) -> None:
        """An empty list is printed as what it is."""
        service.simulator.set_document({"raw": NO_PUBLIC_IP.decode()})
        if who == "agent":
            await new_agent(snapshot_after(answer(NO_PUBLIC_IP)))

        ended = await get("inbound-ips", "-o", output)

        assert (ended.code, ended.out) == (3, "" if output == "text" else "[]\n")

    @pytest.mark.parametrize("who", ["agent", "metadata service"])
    async def test_no_public_ip(self, get: Get, service: Serving, new_agent: NewAgent, who: str) -> None:
        """A node without a public IP address prints nothing, and says why on standard error."""
        service.simulator.set_document({"raw": NO_PUBLIC_IP.decode()})
        if who == "agent":
            await new_agent(snapshot_after(answer(NO_PUBLIC_IP)))

        ended = await get("public-ip")

        assert (ended.code, ended.out) == (3, "")
        assert "lists no public IP address" in ended.err

    @pytest.mark.parametrize("who", ["agent", "metadata service"])
    async def test_no_metadata(self, get: Get, service: Serving, new_agent: NewAgent, who: str) -> None:
        """Where the metadata service has nothing, whatever is asked is none, in every form."""
        service.simulator.set_document("none")
        if who == "agent":
            await new_agent(none_accepted())

        for what in ("public-ip", "raw", "private-ips/10.240.0.4"):
            ended = await get(what)
            assert (ended.code, ended.out) == (3, "")
            assert "private IP" in ended.err or "no load balancer metadata" in ended.err
        for what in ("public-ips", "inbound-rules", "private-ips", "history", *REACHABLE):
            assert ((ended := await get(*what.split())).code, ended.out) == (3, "")
        for what in ("public-ips", "private-ips", *REACHABLE):
            assert (await get(*what.split(), "-o", "json")).code == 3
        assert service.simulator.counters.requests == (0 if who == "agent" else 10 + len(REACHABLE))

    @pytest.mark.parametrize("who", ["agent", "metadata service"])
    async def test_no_metadata_as_a_whole(
        self, get: Get, service: Serving, new_agent: NewAgent, who: str
    ) -> None:
        """The whole document and the variables are printed as they are, empty, and are none."""
        service.simulator.set_document("none")
        if who == "agent":
            await new_agent(none_accepted())

        ended, variables = await get(), await get("-o", "env")

        assert (ended.code, json.loads(ended.out)["status"]) == (3, "no-metadata")
        assert variables.code == 3
        assert "AZURE_LB_STATUS=no-metadata\nAZURE_LB_PUBLIC_IP=\n" in variables.out

    async def test_stale_none(self, get: Get, new_agent: NewAgent) -> None:
        """Data that are stale and have nothing in them are none as well."""
        await new_agent(snapshot_of(restored(answer(EMPTY_BODY).document, age=3600.0)))

        for form in ("json", "yaml", "env"):
            assert (await get("-o", form)).code == 3

    async def test_empty_lists(self, get: Get, service: Serving) -> None:
        """Empty lists are an answer at once: nothing is held back from whoever asks directly."""
        service.simulator.set_document({"raw": EMPTY_BODY.decode()})

        ended = await get("public-ip")

        assert ended.code == 3
        assert service.simulator.counters.requests == 1


class TestWhoIsAsked:
    """The agent that is named, else the one on this host, else the metadata service."""

    async def test_agent_on_this_host(self, get: Get, service: Serving, new_agent: NewAgent) -> None:
        """A running agent spares the metadata service a request."""
        await new_agent(snapshot_after(answer(BODY)))

        assert (await get("public-ip")).out == "20.9.9.9\n"
        assert service.simulator.counters.requests == 0

    async def test_direct(self, get: Get, new_agent: NewAgent) -> None:
        """`--direct` passes the agent over."""
        await new_agent(snapshot_after(answer(BODY)))

        assert (await get("outbound-ips", "--direct")).out != TEXTS["outbound-ips"]

    async def test_upstream_is_imds(self, get: Get, new_agent: NewAgent) -> None:
        """The upstream `imds` is the metadata service, as among the settings."""
        await new_agent(snapshot_after(answer(BODY)))

        assert await get("outbound-ips", "--upstream=imds") == await get("outbound-ips", "--direct")

    @pytest.mark.parametrize("end", ["", "/"])
    async def test_upstream(
        self, get: Get, new_agent: NewAgent, host: pytest.MonkeyPatch, free_port: int, end: str
    ) -> None:
        """A named agent is asked, with or without a slash at the end of its URL."""
        url = await new_agent(snapshot_after(answer(BODY)))
        host.setenv("AZURE_LB_METADATA_LISTEN", f"127.0.0.1:{free_port}")

        assert (await get("public-ip", f"--upstream={url}{end}")).out == "20.9.9.9\n"

    async def test_upstream_refuses(self, get: Get, service: Serving, free_port: int) -> None:
        """Where the named agent does not listen, nobody else is asked in its place."""
        ended = await get("public-ip", f"--upstream=http://127.0.0.1:{free_port}")

        assert (ended.code, ended.out) == (4, "")
        assert f"127.0.0.1:{free_port}" in ended.err
        assert service.simulator.counters.requests == 0

    @pytest.mark.parametrize("listen", ["none", "unix:/run/no-such-socket"])
    async def test_agent_without_a_port(
        self, get: Get, service: Serving, host: pytest.MonkeyPatch, listen: str
    ) -> None:
        """An agent that listens on no port cannot be asked, the metadata service can."""
        host.setenv("AZURE_LB_METADATA_LISTEN", listen)

        assert (await get("public-ips")).code == 0
        assert service.simulator.counters.requests == 1

    async def test_all_addresses(self, get: Get, service: Serving, host: pytest.MonkeyPatch) -> None:
        """An agent that listens on all addresses is asked over the loopback address."""
        answered = response("200 OK", b"20.7.7.7\n")
        async with raw_server(lambda _: answered) as server:
            host.setenv("AZURE_LB_METADATA_LISTEN", f":{server.url.rpartition(':')[2]}")
            assert (await get("public-ip")).out == "20.7.7.7\n"

        assert service.simulator.counters.requests == 0

    async def test_ipv6(self, get: Get, host: pytest.MonkeyPatch) -> None:
        """An agent may listen on an IPv6 address."""
        answered = response("200 OK", b"20.7.7.7\n")
        async with raw_server(lambda _: answered, host="::1") as server:
            host.setenv("AZURE_LB_METADATA_LISTEN", server.url.removeprefix("http://"))
            assert (await get("public-ip")).out == "20.7.7.7\n"


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

    async def test_agent_without_an_answer(self, get: Get, service: Serving, new_agent: NewAgent) -> None:
        """An agent that gets no answer itself is still the one that is asked."""
        await new_agent(snapshot_of(State(started=EPOCH)))

        ended = await get("public-ip", "--timeout=300ms")

        assert ended.code == 4
        assert "not told anything yet" in ended.err
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


class TestUsage:
    """Wrong arguments and settings: 2, one line, and nobody is asked."""

    @pytest.mark.parametrize(
        "arguments",
        [
            ("everything",),
            ("public-ip", "public-ips"),
            ("events",),
            ("private-ips/IP",),
            ("reachable",),
            ("reachable", "protocol=tcp", "port=0"),
            ("public-ips", "family=ipv7"),
            ("public-ips", "format=json"),
            ("public-ip", "node=a"),
            ("-o", "xml"),
            ("--timeout=10",),
            ("--direct", "--upstream=http://127.0.0.1:9"),
            ("--direct", "--node=a"),
            ("--node=a", "--upstream=http://127.0.0.1:9"),
            ("--upstream=agent",),
            ("--upstream=http://agent/v1",),
            ("--upstream=",),
            ("--dir",),
        ],
        ids=" ".join,
    )
    async def test_arguments(self, get: Get, service: Serving, arguments: tuple[str, ...]) -> None:
        """Whatever is wrong is said in one line."""
        ended = await get(*arguments)

        assert (ended.code, ended.out) == (2, "")
        assert ended.err.count("\n") == 1
        assert service.simulator.counters.requests == 0

    async def test_setting(self, get: Get, host: pytest.MonkeyPatch) -> None:
        """A wrong variable of the agent's is named as for `run`."""
        host.setenv("AZURE_LB_METADATA_IMDS_TIMEOUT", "5")

        ended = await get("public-ip")

        assert ended.code == 2
        assert "--imds-timeout (AZURE_LB_METADATA_IMDS_TIMEOUT)" in ended.err


class TestStale:
    """What an agent knows is passed on with what it is worth."""

    async def test_restored(self, get: Get, new_agent: NewAgent) -> None:
        """Data of an earlier run are data; status and reason say the rest."""
        await new_agent(snapshot_of(restored(FULL, age=3600.0)))

        value = json.loads((await get()).out)
        assert (value["status"], value["reason"]) == ("stale", "unreachable")
        assert "AZURE_LB_STATUS=stale\n" in (await get("-o", "env")).out

    async def test_none_while_data_are_held(self, get: Get, new_agent: NewAgent) -> None:
        """An agent that holds data back while the service says "none" answers with them."""
        await new_agent(snapshot_after(answer(BODY), NONE))

        assert (await get("public-ip")).out == "20.9.9.9\n"
        assert (await get("raw")).code == 3
