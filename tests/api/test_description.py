"""The OpenAPI document: it is made from the tables, and what the server answers is what it says."""

import json
import subprocess
import sys
from importlib import resources
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError  # type: ignore[import-untyped]
from openapi_spec_validator import validate

from sidecar.api.description import describe
from sidecar.api.description.answers import ANSWERS
from sidecar.api.endpoints import ENDPOINTS, find
from sidecar.core.state import Snapshot
from tests.api.snapshots import DUAL_STACK
from tests.api.support import NODE, api_running
from tests.api.test_derived import DATA, OBSERVATION, with_egress
from tests.support import states
from tests.support.replies import Reply
from tests.support.waiting import DEADLINE_S

DESCRIPTION = describe()
COMMITTED = resources.files("sidecar.api").joinpath("openapi.json")


def test_committed_document_is_the_present_one() -> None:
    """What is served was made from these tables: `python -m sidecar.api.description` makes it anew."""
    assert json.loads(COMMITTED.read_bytes()) == DESCRIPTION


def test_document_is_valid() -> None:
    """The document is one by the rules of OpenAPI 3.1."""
    validate(DESCRIPTION)


def test_every_path_is_described() -> None:
    """Neither a path nor a description of one stands alone."""
    assert set(ANSWERS) == set(ENDPOINTS) == set(DESCRIPTION["paths"])


async def test_served_document() -> None:
    """The document is served as it was committed, before data and to forwarded requests too."""
    async with api_running(states.snapshot_after(states.unreachable())) as api:
        reply = await api.get("/openapi.json", X_Forwarded_For="10.0.0.1")
        again = await api.get("/openapi.json", If_None_Match=reply.headers["Etag"])

    assert (reply.status, reply.body) == (200, COMMITTED.read_bytes())
    assert reply.headers["Content-Type"] == "application/json"
    assert again.status == 304


TARGETS = [
    "/metadata/loadbalancer?api-version=2021-05-01",
    "/metadata/loadbalancer",
    "/metadata/versions",
    "/v1/loadbalancer",
    "/v1/public-ip?format=json",
    "/v1/public-ip",
    "/v1/public-ips",
    "/v1/inbound-ips?format=text",
    "/v1/outbound-ips?node=other",
    "/v1/egress-ips",
    "/v1/egress",
    "/v1/egress?format=text",
    "/v1/inbound-rules?protocol=tcp",
    "/v1/outbound-rules",
    "/v1/private-ips",
    "/v1/private-ips/fd00::10",
    "/v1/private-ips/10.9.9.9",
    "/v1/private-ips/none",
    "/v1/reachable?protocol=udp&port=53",
    "/v1/reachable",
    "/v1/history",
    "/v1/raw",
    "/openapi.json",
]
FIRST, SECOND, LAST = (
    states.answer(
        states.body(inbound_rules=[states.inbound("20.20.20.20", 1, 2)], outbound=[states.pair(to)])
    )
    for to in ("52.1.1.1", "52.2.2.2", "52.2.2.2")
)
SNAPSHOTS = {
    "dual stack": DUAL_STACK,
    "floating": DATA,
    "probed": with_egress(DATA, "20.1.2.0/24", observation=OBSERVATION),
    "stale, with a history": states.snapshot_after(FIRST, SECOND, *[states.unreachable()] * 31),
    "no metadata": states.none_accepted(),
    "starting": states.snapshot_after(states.unreachable()),
}


@pytest.mark.parametrize("snapshot", SNAPSHOTS.values(), ids=SNAPSHOTS)
async def test_answers_are_as_described(snapshot: Snapshot) -> None:
    """Status, media type, body and headers of every answer are among those that are described."""
    async with api_running(snapshot) as api:
        for target in TARGETS:
            check(target, await api.metadata(target))
            check(target, await api.get(target, X_Forwarded_For="10.0.0.1"))


def check(target: str, reply: Reply) -> None:
    """Compare an answer with the description."""
    found = find(target.partition("?")[0])
    assert found is not None
    operation = DESCRIPTION["paths"][found[0].path]["get"]
    assert str(reply.status) in operation["responses"], (target, reply)
    response = resolved(operation["responses"][str(reply.status)])
    media_type = reply.headers["Content-Type"].partition(";")[0]
    schema = response["content"][media_type]["schema"]
    value = reply.text if media_type == "text/plain" else reply.json
    Draft202012Validator({**schema, "components": DESCRIPTION["components"]}).validate(value)
    required = {"Etag", "Azure-LB-Metadata-Node", "Azure-LB-Metadata-Status"}
    assert reply.status != 200 or "headers" not in response or required <= set(reply.headers), target


def resolved(value: dict[str, Any]) -> dict[str, Any]:
    """What a reference stands for."""
    if "$ref" not in value:
        return value
    _, section, kind, name = value["$ref"].split("/")
    found: dict[str, Any] = DESCRIPTION[section][kind][name]
    return found


async def test_other_shapes_are_noticed() -> None:
    """The check can fail: an answer of another shape is not as described."""
    async with api_running(DATA) as api:
        reply = await api.get(f"/v1/loadbalancer?node={NODE}")
    changed = Reply(reply.status, reply.headers, reply.body.replace(b'"revision"', b'"version"'))
    with pytest.raises(ValidationError, match="'revision' is a required property"):
        check("/v1/loadbalancer", changed)


def test_agent_does_not_make_the_document() -> None:
    """The agent serves bytes: what makes them is not imported."""
    program = "import sidecar.agent, sys; print([name for name in sys.modules if 'description' in name])"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=DEADLINE_S
    )
    assert ended.stdout == "[]\n"
