"""`prune` while Nodes come and go, keys come back, and the API server throttles, fails or refuses."""

import asyncio
import itertools
import json
import os
import sys
from pathlib import Path

import pytest
import yaml

from sidecar.errors import ExitCode
from sidecar.fleet.pruner import GIVE_UP_AFTER, ROUNDS
from sidecar.kube.listing import MOST_EMPTY_PAGES
from tests.fleet.prune.support import OURS, STATUS, Prune, patched
from tests.support.fake_apiserver import RecordedRequest, Reply, refusal
from tests.support.fake_cluster import FakeCluster, expired
from tests.support.program import clean_environment


@pytest.mark.parametrize(
    ("reply", "requests"), [(expired(go_on_after="node-a"), 4), (expired(), 5)], ids=["goes on", "anew"]
)
async def test_expired_place(cluster: FakeCluster, prune: Prune, reply: Reply, requests: int) -> None:
    """A place in the list that has expired is gone on from as the API server says, or the list begun anew."""
    cluster.page_size = 1

    def expire(request: RecordedRequest) -> None:
        if "continue" in request.query and not cluster.replies["used"]:
            cluster.replies["used"].append(reply)
            cluster.replies["GET /api/v1/nodes"].append(reply)

    cluster.on_request = expire
    ended = await prune()
    assert ended.code == ExitCode.DONE
    assert len(ended.out.splitlines()) == 2
    assert len(cluster.asked("GET")) == requests


@pytest.mark.parametrize("reply", [expired(go_on_after="node-a"), expired()], ids=["goes on", "anew"])
async def test_expires_always(cluster: FakeCluster, prune: Prune, reply: Reply) -> None:
    """A list whose places always expire is given up, even where each time there is another to go on from."""
    cluster.page_size = 1

    def expire(request: RecordedRequest) -> None:
        if "continue" in request.query:
            assert len(cluster.requests) < 50
            cluster.replies["GET /api/v1/nodes"].append(reply)

    cluster.on_request = expire
    ended = await prune()
    assert ended.code == ExitCode.FAILED
    assert "410" in ended.err
    assert patched(cluster) == []


async def test_expires_often(cluster: FakeCluster, prune: Prune) -> None:
    """A list that goes on after each place that has expired is read to its end, however often that is."""
    cluster.page_size = 1
    names = [f"node-{letter}" for letter in "abcdefgh"]
    for name in names[3:]:
        cluster.add_node(name, OURS)

    def expire(request: RecordedRequest) -> None:
        # Each place expires once, before its page is had.
        if "continue" in request.query and len(cluster.requests) % 2 == 0:
            reply = expired(go_on_after=names[len(cluster.requests) // 2 - 1])
            cluster.replies["GET /api/v1/nodes"].append(reply)

    cluster.on_request = expire
    ended = await prune("--dry-run")
    assert ended.code == ExitCode.DONE
    assert len(ended.out.splitlines()) == len(names) - 1


async def test_node_vanishes(cluster: FakeCluster, prune: Prune) -> None:
    """A Node that is deleted between list and write is done."""

    def delete(request: RecordedRequest) -> None:
        if request.method == "PATCH":
            cluster.nodes.pop("node-b", None)

    cluster.on_request = delete
    ended = await prune("--concurrency=1")
    assert ended.code == ExitCode.DONE
    assert ended.out == "node-a: removed 2 keys: public-ip, status\nnode-b: gone\n"


@pytest.mark.parametrize("annotations", [{STATUS: "new"}, {}], ids=["annotated", "bare"])
async def test_node_made_anew(cluster: FakeCluster, prune: Prune, annotations: dict[str, str]) -> None:
    """A Node that is made anew is read again, and written only by its new UID and for the keys it has."""
    old = cluster.nodes["node-b"].uid

    def replace(request: RecordedRequest) -> None:
        if request.path.endswith("/node-b") and cluster.nodes["node-b"].uid == old:
            cluster.add_node("node-b", annotations)

    cluster.on_request = replace
    ended = await prune()
    assert ended.code == ExitCode.DONE
    assert cluster.nodes["node-b"].annotations == {}
    uids = [each.json["metadata"]["uid"] for each in cluster.asked("PATCH", "/api/v1/nodes/node-b")]
    assert uids == [old, cluster.nodes["node-b"].uid][: 1 + len(annotations)]


async def test_keys_come_back(cluster: FakeCluster, prune: Prune) -> None:
    """Keys that somebody writes again at once are a failure, after some rounds, that says who may."""
    cluster.nodes.pop("node-a")
    original = cluster.nodes["node-b"].metadata_object

    def annotated_again() -> dict[str, object]:
        cluster.nodes["node-b"].annotations[STATUS] = "ok"
        return original()

    cluster.nodes["node-b"].metadata_object = annotated_again  # type: ignore[method-assign] # one Node's webhook
    ended = await prune()
    assert ended.code == ExitCode.FAILED
    assert f"node-b: {STATUS} came back each time: an agent or an admission webhook" in ended.err
    assert len(patched(cluster)) == ROUNDS


@pytest.mark.parametrize("status", [429, 503])
async def test_repeated(cluster: FakeCluster, prune: Prune, status: int) -> None:
    """A request that the API server throttles or fails is sent again."""
    reply = refusal(status, headers={"Retry-After": "0"})
    cluster.replies["GET /api/v1/nodes"].append(reply)
    cluster.replies["PATCH /api/v1/nodes/node-b"].append(reply)
    ended = await prune()
    assert ended.code == ExitCode.DONE
    assert patched(cluster).count("node-b") == 2


async def test_denied(cluster: FakeCluster, prune: Prune) -> None:
    """A Node whose removal a policy denies is named with the cause, not repeated, and the only one."""
    cluster.replies["PATCH /api/v1/nodes/node-a"].append(refusal(422, "denied by policy"))
    ended = await prune()
    assert ended.code == ExitCode.FAILED
    assert ended.out == "node-b: removed 1 key: status\n"
    assert ended.err.startswith("node-a: the Kubernetes API server answered 422: denied by policy")
    assert ended.err.endswith("of 2 Nodes: 1 failed, 1 removed\n")
    assert patched(cluster).count("node-a") == 1


async def test_gives_up(cluster: FakeCluster, prune: Prune) -> None:
    """When the API server refuses one Node after the other, the rest is not tried, and that is said."""
    message = 'User "eve" cannot patch resource "nodes" in API group "" at the cluster scope'
    for number in range(2 * GIVE_UP_AFTER):
        cluster.add_node(f"node-{number:02}", OURS)
        cluster.replies[f"PATCH /api/v1/nodes/node-{number:02}"].append(refusal(403, message))
    ended = await prune("--concurrency=1")
    assert ended.code == ExitCode.FAILED
    assert len(patched(cluster)) == GIVE_UP_AFTER
    assert "node-00: the Kubernetes API server answered 403" in ended.err
    assert "let eve get and patch nodes" in ended.err
    assert ended.err.endswith(f"of {2 * GIVE_UP_AFTER + 2} Nodes: 20 failed, 22 not tried\n")


async def test_denied_nodes_do_not_stop_the_rest(cluster: FakeCluster, prune: Prune) -> None:
    """However many Nodes a policy denies, each of the others is tried."""
    for number in range(2 * GIVE_UP_AFTER):
        cluster.add_node(f"node-{number:02}", OURS)
        cluster.replies[f"PATCH /api/v1/nodes/node-{number:02}"].append(refusal(422))
    ended = await prune("--concurrency=1")
    assert ended.err.endswith(f"{2 * GIVE_UP_AFTER} failed, 2 removed\n")


async def test_may_not_list(cluster: FakeCluster, prune: Prune) -> None:
    """Without the right to list, it ends with the advice who needs it."""
    message = (
        'nodes is forbidden: User "eve" cannot list resource "nodes" in API group "" at the cluster scope'
    )
    cluster.replies["GET /api/v1/nodes"].append(refusal(403, message))
    ended = await prune()
    assert ended.code == ExitCode.FAILED
    assert "let eve list nodes (a ClusterRole bound by a ClusterRoleBinding)" in ended.err


@pytest.mark.parametrize("output", ["text", "json"])
async def test_full_output(cluster: FakeCluster, kubeconfig: str, output: str) -> None:
    """Where standard output takes no more, all Nodes are pruned all the same, and then that is said."""
    cluster.add_node("node-d", OURS)
    command = (sys.executable, "-m", "sidecar", "prune", f"--kubeconfig={kubeconfig}", f"--output={output}")
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=full, stderr=asyncio.subprocess.PIPE, env=clean_environment()
        )
        _, err = await process.communicate()
    finally:
        os.close(full)
    assert process.returncode == ExitCode.FAILED
    assert b"standard output cannot be written: No space left on device" in err
    assert sorted(set(patched(cluster))) == ["node-a", "node-b", "node-d"]


async def test_silent_api_server(cluster: FakeCluster, prune: Prune) -> None:
    """How long a silent API server is waited for can be chosen, and each repetition is noted once."""
    cluster.replies["GET /apis/apps/v1/daemonsets"].extend([refusal(503, "busy")] * 2)
    ended = await prune("--request-timeout=20s")
    assert ended.code == ExitCode.DONE
    assert ended.err.count("; trying again\n") == 1


@pytest.mark.parametrize("name", ["..", "../namespaces/default/secrets/s?x=", "a b", "\x1b]0;x\x07node", "N"])
async def test_name_that_no_node_has(cluster: FakeCluster, prune: Prune, name: str) -> None:
    """A Node's name becomes part of a path and of the output only if it is one."""
    cluster.add_node(name, OURS)
    ended = await prune()
    assert ended.code == ExitCode.FAILED
    assert "is not what was asked for" in ended.err
    assert ended.out == ""
    assert "\x1b" not in ended.err
    assert patched(cluster) == []


@pytest.mark.parametrize("names", [(), ("node-a",)], ids=["empty pages", "the same page"])
async def test_list_without_an_end(cluster: FakeCluster, prune: Prune, names: tuple[str, ...]) -> None:
    """An API server whose list goes on for ever is not asked for ever."""
    items = [cluster.nodes[name].metadata_object() for name in names]
    count = itertools.count()

    def go_on(request: RecordedRequest) -> None:
        if request.path == "/api/v1/nodes":
            token = "same" if names else str(next(count))
            page = {"metadata": {"continue": token}, "items": items}
            cluster.replies["GET /api/v1/nodes"].append(Reply(body=json.dumps(page).encode()))

    cluster.on_request = go_on
    ended = await prune()
    assert ended.code == ExitCode.FAILED
    assert "is of a list without an end" in ended.err
    assert len(cluster.asked("GET", "/api/v1/nodes")) <= MOST_EMPTY_PAGES
    assert patched(cluster) == []


@pytest.mark.parametrize("status", [401, 403, 422, 429, 500])
async def test_credential_in_an_error(
    cluster: FakeCluster, prune: Prune, kubeconfig: str, status: int
) -> None:
    """An API server's or proxy's error that repeats the credential is printed without it."""
    (user,) = yaml.safe_load(Path(kubeconfig).read_text())["users"]  # noqa: ASYNC240 - a small file
    token = user["user"]["token"]
    cluster.replies["GET /apis/apps/v1/daemonsets"].extend([refusal(status, f"Bearer {token} may not")] * 9)
    ended = await prune()
    assert ended.code == ExitCode.FAILED
    assert token not in ended.err
    assert "Bearer (hidden) may not" in ended.err
