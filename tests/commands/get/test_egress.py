"""`get egress`: the three kinds of an agent; with `--probe` also what is seen from here."""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from sidecar.core.addresses import IPAddress
from sidecar.core.egress import EgressState, Observation, SharedEgress, declared_networks
from sidecar.core.probes import Flow, FlowFailure, Probe, parse_probe
from sidecar.core.state import Snapshot, State
from sidecar.simulator import Serving
from tests.commands.get.support import BODY, Get, NewAgent
from tests.support.states import EPOCH, answer, snapshot_after, unreachable

STUN, ECHO = "stun:127.0.0.1:3478", "https://127.0.0.1/ip"
PUBLISHED = """\
configured ipv4 20.1.2.3 instance-ip 10.240.0.4
configured ipv4 20.9.9.9 instance-ip 10.240.0.5
configured ipv6 2001:db8::7 instance-ip fd00::4
"""

UNLISTED = f"observed ipv4 20.7.7.7 unlisted {STUN}\nstate unlisted\n"


def knowing(*, declared: Sequence[str] = (), seen: Sequence[str] = (), inside: bool = False) -> Snapshot:
    """An agent that has an answer, and what its operator declared and its probe saw."""
    probe = parse_probe(STUN)
    own = ip_address("10.240.0.4")
    flows = [Flow(probe=probe, family=4, address=ip_address(address), own=own) for address in seen]
    if inside:
        flows = [Flow(probe=probe, family=4, address=own, own=own)]
    observation = Observation((probe,)) if seen or inside else Observation()
    if observation.probes:
        observation = observation.after_round(flows, now=EPOCH, keep=86_400.0)
    state = State(started=EPOCH, declared=declared_networks(declared), observation=observation)
    return snapshot_after(answer(BODY), state=state)


class TestAgent:
    """What the agent of this host says."""

    @pytest.mark.parametrize(
        ("snapshot", "lines"),
        [
            (knowing(), ""),
            (knowing(declared=["20.5.5.0/29"]), "declared ipv4 20.5.5.0/29\n"),
            (
                knowing(declared=["20.5.5.0/29"], seen=["20.5.5.1", "20.7.7.7"]),
                f"declared ipv4 20.5.5.0/29\nobserved ipv4 20.5.5.1 listed {STUN}\n{UNLISTED}",
            ),
            (knowing(inside=True), f"inside ipv4 {STUN} 10.240.0.4\nstate inside\n"),
        ],
        ids=["configured", "declared", "observed", "inside"],
    )
    async def test_text(self, get: Get, new_agent: NewAgent, snapshot: Snapshot, lines: str) -> None:
        """One item per line with its kind first, and the state where there is a probe."""
        await new_agent(snapshot)

        ended = await get("egress")

        assert (ended.code, ended.out, ended.err) == (0, PUBLISHED + lines, "")

    async def test_json_and_yaml(self, get: Get, new_agent: NewAgent) -> None:
        """As JSON and YAML it is the body of `/v1/egress`."""
        await new_agent(knowing(declared=["20.5.5.0/29"], seen=["20.5.5.1"]))

        as_json, as_yaml = await get("egress", "-o", "json"), await get("egress", "-o", "yaml")

        value = json.loads(as_json.out)
        assert (as_json.code, as_yaml.code, yaml.safe_load(as_yaml.out)) == (0, 0, value)
        assert (value["state"], value["networks"], value["basis"]) == ("agrees", ["20.5.5.0/29"], "mixed")

    @pytest.mark.parametrize("form", ["text", "json"])
    async def test_none(self, get: Get, service: Serving, form: str) -> None:
        """3 where nothing is configured, declared or observed."""
        service.simulator.set_document({"raw": '{"loadbalancer":{}}'})

        assert (await get("egress", "-o", form)).code == 3

    async def test_of_an_agent_that_was_told(self, get: Get, new_agent: NewAgent) -> None:
        """A sidecar says what its node agent observed, without who saw it."""
        told = SharedEgress((), (ip_address("20.7.7.7"),), EgressState.UNLISTED)
        snapshot = knowing()
        await new_agent(replace(snapshot, state=replace(snapshot.state, told_egress=told)))

        assert (await get("egress")).out == f"{PUBLISHED}observed ipv4 20.7.7.7 unlisted\nstate unlisted\n"


class FakeProber:
    """Probes whose answers are scripted: addresses in turn, or failures."""

    answers: dict[str, list[str | FlowFailure]]
    asked: list[str]
    authorities: Path | None

    def __init__(self, *, ca: Path | None) -> None:
        type(self).authorities = ca

    async def resolve(self, probe: Probe) -> Sequence[IPAddress] | Flow:
        """All are reached over IPv4, or their name is unknown."""
        first = self.answers[str(probe)][0]
        if first is FlowFailure.UNKNOWN_NAME:
            return Flow(probe=probe, family=4, failure=first, detail="no such name")
        return [ip_address("127.0.0.1")]

    async def ask(self, probe: Probe, address: IPAddress) -> Flow:
        """The next of the answers, over and over."""
        self.asked.append(f"{probe} {address}")
        answers = self.answers[str(probe)]
        said = answers[self.asked.count(self.asked[-1]) % len(answers) - 1]
        if isinstance(said, FlowFailure):
            return Flow(probe=probe, family=4, failure=said, detail="as scripted")
        return Flow(probe=probe, family=4, address=ip_address(said), own=ip_address("10.9.9.9"))


@pytest.fixture
def prober(monkeypatch: pytest.MonkeyPatch) -> type[FakeProber]:
    """What makes connections to probes in place of the real one."""
    monkeypatch.setitem(sys.modules, "sidecar.sources.probing", SimpleNamespace(Prober=FakeProber))
    monkeypatch.setattr(FakeProber, "asked", [], raising=False)
    monkeypatch.setattr(FakeProber, "authorities", None, raising=False)
    return FakeProber


class TestProbe:
    """`--probe`: asked from here."""

    @pytest.mark.parametrize(
        "case",
        [
            (["20.1.2.3"], 0, f"observed ipv4 20.1.2.3 listed {STUN}\nstate agrees\n"),
            (
                ["20.1.2.3", "20.7.7.7"],
                5,
                f"observed ipv4 20.1.2.3 listed {STUN}\n{UNLISTED}",
            ),
            (["10.9.9.9"], 5, f"inside ipv4 {STUN} 10.9.9.9\nstate inside\n"),
            (
                [FlowFailure.NO_ANSWER],
                4,
                f"failed ipv4 {STUN} no-answer as scripted\nstate unanswered\n",
            ),
            (
                [FlowFailure.UNKNOWN_NAME],
                4,
                f"failed ipv4 {STUN} unknown-name no such name\nstate unanswered\n",
            ),
        ],
        ids=["agrees", "unlisted", "inside", "no answer", "unknown name"],
    )
    async def test_compared(
        self,
        get: Get,
        new_agent: NewAgent,
        prober: type[FakeProber],
        case: tuple[list[str | FlowFailure], int, str],
    ) -> None:
        """What is seen from here is compared with what the agent publishes."""
        answers, code, lines = case
        await new_agent(knowing())
        prober.answers = {STUN: answers}

        ended = await get("egress", f"--probe={STUN}")

        assert (ended.code, ended.out, ended.err) == (code, PUBLISHED + lines, "")
        assert len(prober.asked) == (5 if code in {0, 5} else answers.count(FlowFailure.NO_ANSWER))

    async def test_declared(self, get: Get, new_agent: NewAgent, prober: type[FakeProber]) -> None:
        """What the operator declared is listed."""
        await new_agent(knowing(declared=["20.7.7.0/24"]))
        prober.answers = {STUN: ["20.7.7.7"]}

        assert (await get("egress", f"--probe={STUN}")).code == 0

    @pytest.mark.parametrize(
        "case",
        [
            (["20.7.7.7"], 0, f"observed ipv4 20.7.7.7 not-compared {STUN}\n"),
            (["10.0.0.7"], 5, f"inside ipv4 {STUN} 10.0.0.7\nstate inside\n"),
            ([FlowFailure.REFUSED], 4, f"failed ipv4 {STUN} refused as scripted\nstate unanswered\n"),
        ],
        ids=["answered", "inside", "refused"],
    )
    async def test_without_an_agent(
        self,
        get: Get,
        service: Serving,
        prober: type[FakeProber],
        case: tuple[list[str | FlowFailure], int, str],
    ) -> None:
        """Where no agent answers there is nothing to compare with, and the metadata service is not asked."""
        answers, code, lines = case
        prober.answers = {STUN: answers}

        ended = await get("egress", f"--probe={STUN}")

        assert (ended.code, ended.out, ended.err) == (code, lines, "")
        assert service.simulator.counters.requests == 0

    async def test_json_without_an_agent(self, get: Get, prober: type[FakeProber]) -> None:
        """As JSON, what was not compared is null."""
        prober.answers = {STUN: ["20.7.7.7"]}

        value = json.loads((await get("egress", f"--probe={STUN}", "-o", "json")).out)

        assert (value["state"], value["configured"], value["probes"][0]["probe"]) == (None, [], STUN)
        assert [(seen["ipAddress"], seen["listed"]) for seen in value["observed"]] == [("20.7.7.7", None)]

    async def test_several_probes(self, get: Get, prober: type[FakeProber], tmp_path: Path) -> None:
        """Each probe is asked as often as wanted; one that fails does not hide what another one saw."""
        prober.answers = {STUN: [FlowFailure.NO_ANSWER], ECHO: ["20.7.7.7"]}
        authorities = tmp_path / "ca.pem"

        ended = await get(
            "egress", f"--probe={STUN}", f"--probe={ECHO}", "--probe-flows=3", f"--probe-ca={authorities}"
        )

        assert ended.code == 0
        assert ended.out == (
            f"observed ipv4 20.7.7.7 not-compared {ECHO}\nfailed ipv4 {STUN} no-answer as scripted\n"
        )
        assert len(prober.asked) == 4
        assert prober.authorities == authorities

    async def test_named_agent_refuses(self, get: Get, prober: type[FakeProber], free_port: int) -> None:
        """An agent that is named has to answer."""
        prober.answers = {STUN: ["20.7.7.7"]}

        ended = await get("egress", f"--probe={STUN}", f"--upstream=http://127.0.0.1:{free_port}")

        assert (ended.code, ended.out) == (4, "")
        assert f"no agent listens at http://127.0.0.1:{free_port}" in ended.err

    async def test_agent_without_an_answer(
        self, get: Get, new_agent: NewAgent, prober: type[FakeProber]
    ) -> None:
        """An agent of this host that has no data yet is passed over, with a word."""
        await new_agent(snapshot_after(unreachable()))
        prober.answers = {STUN: ["20.7.7.7"]}

        ended = await get("egress", f"--probe={STUN}", "--timeout=500ms")

        assert (ended.code, ended.out) == (0, f"observed ipv4 20.7.7.7 not-compared {STUN}\n")
        assert "nothing to compare with" in ended.err

    async def test_end_of_the_time(
        self, get: Get, prober: type[FakeProber], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """At the end of the time, what was seen until then counts, and one line says that it is not all."""
        ask = FakeProber.ask

        async def once(self: FakeProber, probe: Probe, address: IPAddress) -> Flow:
            if prober.asked:
                await asyncio.Event().wait()
            return await ask(self, probe, address)

        monkeypatch.setattr(FakeProber, "ask", once)
        prober.answers = {STUN: ["20.7.7.7"]}

        ended = await get("egress", f"--probe={STUN}", "--timeout=1s")

        assert (ended.code, ended.out) == (0, f"observed ipv4 20.7.7.7 not-compared {STUN}\n")
        assert ended.err == "azure-lb-metadata get: not all was asked within 1 s\n"

    async def test_progress(
        self, get: Get, prober: type[FakeProber], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On a terminal a person is told who is asked how often."""
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        prober.answers = {STUN: ["20.7.7.7"]}

        ended = await get("egress", f"--probe={STUN}", "--probe-flows=2")

        assert ended.err == f"asking {STUN}: 2 connections over each address family\n"

    @pytest.mark.parametrize(
        "arguments",
        [
            ("public-ips", f"--probe={STUN}"),
            ("egress", "--probe=stun.example.org"),
            ("egress", "--probe=https://user:secret@127.0.0.1/"),
            ("egress", f"--probe={STUN}", "--direct"),
            ("egress", f"--probe={STUN}", "--node=a"),
            ("egress", f"--probe={STUN}", "-o", "env"),
            ("egress", f"--probe={STUN}", "--probe-flows=0"),
            ("egress", f"--probe={STUN}", "--probe-flows=129"),
            ("egress", "--probe-flows=3"),
            ("egress", "--probe-ca=/nowhere"),
            ("egress", *[f"--probe=stun:127.0.0.1:{port}" for port in range(1, 10)]),
        ],
        ids=" ".join,
    )
    async def test_usage(
        self, get: Get, service: Serving, prober: type[FakeProber], arguments: tuple[str, ...]
    ) -> None:
        """What does not go together is said in one line, and nobody is asked."""
        ended = await get(*arguments)

        assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
        assert (prober.asked, service.simulator.counters.requests) == ([], 0)
