"""`get --node`: what an agent annotated, with what that is worth in the agent's own words."""

import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sidecar.core.annotations import DEFAULT_PREFIX
from sidecar.core.outcome import Reason, Status
from tests.commands.get.support import BODY, Get
from tests.support.fake_apiserver import FakeApiServer, fake_api_server, refusal
from tests.support.fleet import published
from tests.support.states import answer

NODE = "aks-1"
DOCUMENT = answer(BODY).document
STATUS, REASON = f"{DEFAULT_PREFIX}/status", f"{DEFAULT_PREFIX}/reason"


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    """The API server that has the Node."""
    async with fake_api_server() as server:
        yield server


@pytest.fixture
def get_node(get: Get, server: FakeApiServer, tmp_path: Path) -> Get:
    """The command ``get`` of that Node; what else it is given comes last, and so counts."""
    kubeconfig = server.kubeconfig(tmp_path / "config")
    return partial(get, f"--node={NODE}", f"--kubeconfig={kubeconfig}")


async def said(get_node: Get) -> Any:
    """The whole answer."""
    ended = await get_node()
    assert (ended.code, ended.err) == (0, "")
    return json.loads(ended.out)


async def test_document(server: FakeApiServer, get_node: Get) -> None:
    """The document that is annotated is the answer, and the metadata service is not asked."""
    server.add_node(NODE, published(DOCUMENT))

    value = await said(get_node)

    assert (value["node"], value["status"], value["reason"]) == (NODE, "ok", None)
    assert value["loadbalancer"] == DOCUMENT.wire()


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (Status.STALE, Reason.THROTTLED),
        (Status.STALE, Reason.UNREACHABLE),
        (Status.STARTING, Reason.REJECTED),
        (Status.NO_METADATA, Reason.NO_METADATA),
    ],
)
async def test_reason(server: FakeApiServer, get_node: Get, status: Status, reason: Reason) -> None:
    """Status and reason are the words that the agent wrote."""
    server.add_node(NODE, published(DOCUMENT, status=status, reason=reason))

    value = await said(get_node)

    assert (value["status"], value["reason"]) == (status, reason)


@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        ({STATUS: "stale", REASON: "moon"}, "stale", "unreachable"),
        ({STATUS: "moon", REASON: "throttled"}, "stale", "throttled"),
        ({STATUS: "ok", REASON: "throttled"}, "ok", None),
        ({STATUS: ""}, "stale", "unreachable"),
    ],
    ids=["reason", "status", "ok with a reason", "neither"],
)
async def test_words_of_others(
    server: FakeApiServer, get_node: Get, words: dict[str, str], status: str, reason: str | None
) -> None:
    """A word that no agent would write is not passed on: the data are taken for stale."""
    server.add_node(NODE, {**published(DOCUMENT), **words})

    value = await said(get_node)

    assert (value["status"], value["reason"]) == (status, reason)


async def test_without_document(server: FakeApiServer, get_node: Get) -> None:
    """Without a document there is an answer that is not to be had there, and it is said what there is."""
    annotated = published(DOCUMENT, status=Status.STALE, reason=Reason.THROTTLED)
    del annotated[f"{DEFAULT_PREFIX}/loadbalancer"]
    server.add_node(NODE, annotated)

    ended = await get_node()

    assert (ended.code, ended.out) == (5, "")
    assert "not annotated with a document (status stale, omitted None)" in ended.err


async def test_hostile_words(server: FakeApiServer, get_node: Get) -> None:
    """What somebody else annotated instead reaches no terminal as it is."""
    server.add_node(NODE, {STATUS: "\x1b]0;moon\x07", f"{DEFAULT_PREFIX}/omitted": "\x9b2J"})

    ended = await get_node()

    assert (ended.code, ended.out, ended.err.count("\n")) == (5, "", 1)
    assert "(status ?]0;moon?, omitted ?2J)" in ended.err


async def test_no_such_node(get_node: Get) -> None:
    """A Node that is not there is a failure, in words of this command."""
    ended = await get_node()

    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert f"there is no Node {NODE}" in ended.err
    assert "--node-name" not in ended.err


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("--node=Not_A_Node", "'Not_A_Node' cannot be the name of a Node"),
        ("--node=AKS-1", "cannot be the name of a Node, did you mean aks-1: kubectl get nodes lists them"),
        ("--node=", "'' cannot be the name of a Node"),
        ("--annotation-prefix=kubernetes.io", "reserved"),
        ("--annotation-prefix=nonsense!", "not a DNS subdomain"),
    ],
)
async def test_usage(server: FakeApiServer, get_node: Get, argument: str, text: str) -> None:
    """A name or a prefix that cannot be is wrong usage, and nothing is asked."""
    server.add_node(NODE, published(DOCUMENT))

    ended = await get_node(argument)

    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert text in ended.err
    assert "--node-name" not in ended.err
    assert not server.requests


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_api_server_that_is_busy(server: FakeApiServer, get_node: Get, status: int) -> None:
    """A refusal that may pass is asked again until the answer comes."""
    server.add_node(NODE, published(DOCUMENT))
    server.script.append(refusal(status))

    assert (await get_node()).code == 0
    assert len(server.requests) == 2


async def test_api_server_that_stays_busy(server: FakeApiServer, get_node: Get) -> None:
    """One that lasts is nothing reached in time; a longer wait than there is time for is not broken off."""
    server.add_node(NODE, published(DOCUMENT))
    server.script.append(refusal(429, headers={"Retry-After": "60"}))

    ended = await get_node("--timeout=3s")

    assert (ended.code, ended.out, len(server.requests)) == (4, "", 1)
    assert "answered 429" in ended.err
