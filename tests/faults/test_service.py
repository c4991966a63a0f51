"""What the metadata service may do, to an agent that runs as a process of its own and annotates a Node."""

import asyncio
from pathlib import Path

import pytest

from sidecar.simulator import FAULTS
from tests.agent.support import PUBLIC_IP, has, lasting, ok
from tests.faults.support import Surroundings, prepared
from tests.support.agent import agent_with
from tests.support.faults import Origin, Promise, fault, outage
from tests.support.program import Settings
from tests.support.raw_server import raw_server, response
from tests.support.waiting import until

ANSWERS: dict[str, list[str]] = {
    "not-ready": ["not-currently-available", "not-found"],
    "rejected": [
        "missing-parameter",
        "parameter-not-allowed",
        "unexpected-request",
        "long-body",
        "long-parameter-key",
        "long-parameter-value",
        "long-header-value",
        "no-metadata-header",
        "unauthorized",
        "forbidden",
        "method-not-allowed",
        "redirect",
    ],
    "unavailable": ["request-timeout", "internal-error", "bad-gateway", "gateway-timeout"],
    "malformed": ["html", "not-json", "wrong-shape", "huge", "huge-chunked"],
    "unreachable": ["slow", "slow-drip"],
}
"""Faults of the simulator by the reason that becomes of them, but for those of `tests.agent.support`."""

ELSEWHERE = {
    "no-metadata",
    "throttled-seconds",
    "throttled-date",
    "api-not-found",
    "api-not-available",
    "gone",
    "xml",
    "unavailable",
    "throttled",
    "empty",
    "truncated",
    "hang",
    "reset",
}


def test_no_fault_is_left_out() -> None:
    """Every fault that the simulator knows is tried here or by the tests of the agent."""
    assert {name for names in ANSWERS.values() for name in names} | ELSEWHERE == set(FAULTS)


@fault(Origin.SERVICE, "It answers 404 in any other words", outage("not-ready"), cases=("not-ready",))
@fault(
    Origin.SERVICE,
    "It answers 400 of any kind, 401, 403, 405 or a redirect",
    outage("rejected"),
    cases=("rejected",),
)
@fault(Origin.SERVICE, "It answers 408, 500, 502 or 504", outage("unavailable"), cases=("unavailable",))
@fault(
    Origin.SERVICE,
    "It answers 200 with HTML, with JSON that breaks off, or with another shape",
    outage("malformed"),
    cases=("malformed",),
)
@fault(
    Origin.SERVICE,
    "It answers later than the time-out, or drips byte by byte",
    outage("unreachable"),
    cases=("unreachable",),
)
@pytest.mark.parametrize("reason", ANSWERS)
async def test_every_answer(surroundings: Surroundings, reason: str) -> None:
    """Whatever the service answers instead of data, served and annotated data stay as they were."""
    simulator = surroundings.service.simulator
    async with surroundings.annotating(imds_timeout="200ms") as agent:
        annotated = await surroundings.until_annotated(has(status="ok"))
        before = (await agent.document()).json
        for name in ANSWERS[reason]:
            simulator.set_fault(name)
            await agent.more_attempts(2, reason)
        assert (await agent.document()).json == before
        assert (await agent.admin("/readyz")).status == 200
        assert surroundings.annotations == annotated
        assert surroundings.writes() == 1
        simulator.clear_fault()
        await agent.more_attempts(1, "ok")


@fault(
    Origin.SERVICE,
    "Lists are `null`, `{}` or missing, or have no usable entry left",
    Promise(
        served="All of it. `null` and missing count as answers without the list, the others as `malformed`.",
        annotated="Nothing is removed before absent-after, and nothing at all while it is malformed.",
        logged="`lists-missing` or `poll-failed`, once; `attempts_total` under `ok` or `malformed`.",
        recovery="With the first whole answer.",
    ),
)
@pytest.mark.parametrize(
    ("value", "outcome"),
    [(None, "ok"), (..., "ok"), ({}, "malformed"), ("", "malformed"), ([{}], "malformed")],
    ids=["null", "missing", "object", "text", "unusable"],
)
async def test_lists_of_another_kind(surroundings: Surroundings, value: object, outcome: str) -> None:
    """Something else in place of a list takes nothing from Node and clients."""
    lists = ("publicIpAddresses", "inboundRules", "outboundRules")
    document: dict[str, object] = {"name": "all"}
    document |= {"omit": lists} if value is ... else {"replace": dict.fromkeys(lists, value)}
    async with surroundings.annotating(imds_timeout="10s", absent_after="10m") as agent:
        annotated = await surroundings.until_annotated(has(status="ok"))
        surroundings.service.simulator.set_document(document)
        await agent.more_attempts(5, outcome)
        assert (await agent.get("/v1/public-ip")).text == PUBLIC_IP
        assert surroundings.annotations == annotated
        assert surroundings.writes() == 1
        line = "lists-missing" if outcome == "ok" else "poll-failed"
        assert len(agent.program.events(line)) == 1


@fault(
    Origin.SERVICE,
    "It gives the entries in another order with every answer",
    Promise(
        served="The same bytes under the same `ETag`; no event, no waiter woken.",
        annotated="Nothing is written.",
        logged="Nothing; `revision_changes_total` stays.",
        recovery="Nothing to recover from.",
    ),
)
async def test_changing_order(surroundings: Surroundings) -> None:
    """Answers that differ in the order of their entries alone are one document: no write, no event."""
    simulator = surroundings.service.simulator
    simulator.set_document("reordered")
    async with surroundings.annotating() as agent:
        await surroundings.until_annotated(has(status="ok"))
        before = await agent.document()
        etag = before.headers["ETag"]
        waiter = asyncio.create_task(
            agent.get("/v1/loadbalancer", **{"If-None-Match": etag, "Prefer": "wait=60"})
        )
        await agent.more_attempts(20, "ok")
        assert not waiter.done()
        assert (await agent.document()).text == before.text
        assert await agent.metric("azure_lb_metadata_revision_changes_total") == 0
        assert surroundings.writes() == 1
        simulator.set_document("several-nics")
        assert (await waiter).headers["ETag"] != etag


RESOLVER = """
import os, socket
resolve = socket.getaddrinfo
def getaddrinfo(host, *arguments, **options):
    if host != "metadata.test":
        return resolve(host, *arguments, **options)
    if not os.path.exists(os.environ["RESOLVES"]):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return resolve("127.0.0.1", *arguments, **options)
socket.getaddrinfo = getaddrinfo
"""
"""A machine whose DNS knows one name, while a file is there; no real DNS is asked by a test."""


@fault(Origin.SERVICE, "Its name cannot be resolved: DNS is absent", outage("unreachable"))
async def test_no_dns(surroundings: Surroundings, tmp_path: Path) -> None:
    """Without DNS a service known by name is unreachable; once it is found, DNS may go."""
    url = surroundings.service.url.replace("127.0.0.1", "metadata.test")
    settings: Settings = {"annotations": False, "imds_endpoint": url}
    resolves = tmp_path / "resolves"
    environment = {"RESOLVES": str(resolves)}
    async with agent_with(tmp_path, settings, python=prepared(RESOLVER), environment=environment) as agent:
        await agent.more_attempts(3, "unreachable")
        assert (await agent.document()).state == "starting"
        [line] = agent.program.events("poll-failed")
        assert line["detail"] == "cannot resolve metadata.test: Temporary failure in name resolution"
        resolves.touch()
        await agent.until_document(ok)
        resolves.unlink()
        await agent.more_attempts(5, "ok")
        assert (await agent.get("/v1/public-ip")).text == PUBLIC_IP


DOCUMENT = (
    b'{"loadbalancer":{"publicIpAddresses":[{"frontendIpAddress":"192.0.2.4",'
    b'"privateIpAddress":"10.224.0.4"}],"inboundRules":[],"outboundRules":[]}}'
)


@fault(
    Origin.SERVICE,
    "The kept connection is half-open: it takes requests, and nothing ever comes back",
    Promise(
        served="Fresh data: one attempt is lost.",
        annotated="Nothing is written.",
        logged='`poll-failed` once; `attempts_total{outcome="unreachable"}` once.',
        recovery="With the next attempt, on a new connection.",
    ),
)
async def test_half_open(tmp_path: Path) -> None:
    """A connection that has gone dead costs one attempt; the next one opens another."""
    whole = response("200 OK", DOCUMENT)
    async with raw_server(
        lambda _: [] if len(server.requests) > 3 and server.connections == 1 else whole
    ) as server:
        settings: Settings = {
            "annotations": False,
            "imds_endpoint": server.url,
            "imds_timeout": "300ms",
        }
        async with agent_with(tmp_path, settings) as agent:
            await until(lambda: agent.attempts("unreachable"))
            await agent.more_attempts(5, "ok")
            assert await agent.attempts("unreachable") == 1
            assert server.connections == 2
            assert ok(await agent.document())


@fault(
    Origin.SERVICE,
    "It flaps all the time: 200, 503, 200, 404",
    Promise(
        served="The same document all the while.",
        annotated="Nothing is written, as long as no gap is as long as stale-after.",
        logged="`poll-failed` at each new reason, `poll-recovered` at each answer.",
        recovery="Nothing to recover from.",
    ),
)
async def test_flapping(surroundings: Surroundings) -> None:
    """A service that fails and answers by turns leaves document and Node as they are."""
    simulator = surroundings.service.simulator
    async with surroundings.annotating(imds_timeout="10s", absent_after="10m") as agent:
        annotated = await surroundings.until_annotated(has(status="ok"))
        before = (await agent.document()).json
        for name, outcome in [("unavailable", "unavailable"), ("no-metadata", "no-metadata")] * 4:
            simulator.set_fault(name)
            await agent.more_attempts(1, outcome)
            assert (await agent.document()).json == before
            simulator.clear_fault()
            await agent.more_attempts(1, "ok")
        assert lasting(surroundings.annotations) == lasting(annotated)
        assert surroundings.writes() == 1
