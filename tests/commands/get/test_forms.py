"""`get`: each answer in each form, and what it is worth."""

import json

import pytest
import yaml

from sidecar.core.document import Document
from sidecar.core.outcome import NONE
from sidecar.simulator import Serving
from tests.api.support import NODE
from tests.commands.get.support import BODY, TEXTS, Get, NewAgent
from tests.support.states import answer, body, pair, restored, snapshot_after, snapshot_of

FULL: Document = answer(BODY).document

VARIABLES = f"""\
AZURE_LB_NODE={NODE}
AZURE_LB_STATUS=ok
AZURE_LB_PUBLIC_IP=20.9.9.9
AZURE_LB_PUBLIC_IPV6=2001:db8::7
AZURE_LB_PUBLIC_IPS=20.1.2.3,20.9.9.9,2001:db8::7
AZURE_LB_INBOUND_IPS=20.20.20.20,2001:db8::20
AZURE_LB_OUTBOUND_IPS=52.1.1.1
AZURE_LB_EGRESS_IPS=20.1.2.3,20.9.9.9,2001:db8::7
AZURE_LB_EGRESS_NETWORKS=
AZURE_LB_EGRESS_OBSERVED=
"""


@pytest.mark.usefixtures("client")
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

    async def test_asked(self, get: Get, client: str, service: Serving) -> None:
        """The one is asked, and the other is not."""
        await get("public-ip")

        assert service.simulator.counters.requests == (0 if client == "agent" else 1)

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
