"""`prune`: which Nodes it writes, what it says, and how it ends."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from sidecar.commands.pruning import GIVE_UP_AFTER, ROUNDS
from sidecar.errors import ExitCode
from tests.support.commands import Ended, run_here
from tests.support.fake_apiserver import RecordedRequest, Reply, status_object
from tests.support.fake_cluster import FakeCluster, FakePod, expired, fake_cluster

PREFIX = "azure-lb-metadata.io"
MANAGER = "azure-lb-metadata"
STATUS = f"{PREFIX}/status"
PUBLIC_IP = f"{PREFIX}/public-ip"
OURS = {STATUS: "ok", PUBLIC_IP: "20.0.0.1"}
OTHERS = {"other.example/key": "value", "azure-lb-metadata.io.example/status": "x"}
WAIT = ("--wait-for-daemonset=lb/agents", "--pod-selector=app=lb, tier in (a,b)")

Prune = Callable[..., Awaitable[Ended]]


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    """A cluster with two annotated Nodes, and one without our keys."""
    async with fake_cluster() as cluster:
        cluster.add_node("node-a", {**OURS, **OTHERS})
        cluster.add_node("node-b", {STATUS: "ok"})
        cluster.add_node("node-c", OTHERS)
        yield cluster


@pytest.fixture
def kubeconfig(cluster: FakeCluster, tmp_path: Path) -> str:
    """How to reach it."""
    return cluster.kubeconfig(tmp_path / "config")


@pytest.fixture
def prune(kubeconfig: str, capsys: pytest.CaptureFixture[str]) -> Prune:
    """The command, on that cluster."""

    async def run(*arguments: str) -> Ended:
        return await run_here(capsys, "prune", f"--kubeconfig={kubeconfig}", *arguments)

    return run


def patched(cluster: FakeCluster) -> list[str]:
    """The names of the Nodes that were written, one for each request."""
    return [request.path.rpartition("/")[2] for request in cluster.asked("PATCH")]


def refusal(status: int, message: str = "why") -> Reply:
    """An answer as the API server gives when it does not do what was asked."""
    return Reply(status=status, body=json.dumps(status_object(status, message)).encode())


async def test_all_nodes(cluster: FakeCluster, prune: Prune) -> None:
    """All keys under the prefix go from all Nodes that have any, others stay, and each Node gets a line."""
    ended = await prune()
    assert ended.code == ExitCode.DONE
    assert sorted(ended.out.splitlines()) == [
        "node-a: removed 2 keys: public-ip, status",
        "node-b: removed 1 key: status",
    ]
    assert ended.err == "of 2 Nodes: 2 removed\n"
    assert sorted(patched(cluster)) == ["node-a", "node-b"]
    assert [node.annotations for node in cluster.nodes.values()] == [OTHERS, {}, OTHERS]


async def test_what_is_sent(cluster: FakeCluster, prune: Prune) -> None:
    """A removal names the Node's UID and exactly the keys found; lists ask for metadata, 500 a page."""
    await prune()
    (listing,) = cluster.asked("GET")
    assert listing.query == {"limit": "500"}
    assert listing.headers["Accept"].startswith("application/json;as=PartialObjectMetadataList;")
    removal = next(each for each in cluster.requests if each.path.endswith("/node-a"))
    uid = cluster.nodes["node-a"].uid
    assert removal.json == {"metadata": {"uid": uid, "annotations": {PUBLIC_IP: None, STATUS: None}}}
    assert removal.headers["Content-Type"] == "application/merge-patch+json"
    assert removal.query == {"fieldManager": "azure-lb-metadata-prune"}


async def test_nothing_to_do(cluster: FakeCluster, prune: Prune) -> None:
    """Repeated, it reads and writes nothing, and says that there was nothing."""
    await prune()
    cluster.requests.clear()
    ended = await prune()
    assert (ended.code, ended.out) == (ExitCode.DONE, "")
    assert ended.err == f"3 Nodes read, none has keys to remove under {PREFIX}\n"
    assert patched(cluster) == []


async def test_empty_cluster(cluster: FakeCluster, prune: Prune) -> None:
    """A cluster without Nodes is done."""
    cluster.nodes.clear()
    assert (await prune()).code == ExitCode.DONE


async def test_dry_run(cluster: FakeCluster, prune: Prune) -> None:
    """A dry run says what would go, by Node, and writes nothing."""
    ended = await prune("--dry-run")
    assert ended.out.splitlines() == [
        "node-a: would remove 2 keys: public-ip, status",
        "node-b: would remove 1 key: status",
    ]
    assert patched(cluster) == []


async def test_json(cluster: FakeCluster, prune: Prune) -> None:
    """As JSON there is one object, with the failures and their causes in it."""
    cluster.replies["PATCH /api/v1/nodes/node-b"].append(refusal(422, "denied by policy"))
    ended = await prune("-o", "json")
    assert ended.code == ExitCode.FAILED
    report = json.loads(ended.out)
    assert "denied by policy" in report["nodes"][1].pop("error")
    assert report == {
        "annotationPrefix": PREFIX,
        "ownedOnly": False,
        "dryRun": False,
        "skipped": None,
        "complete": False,
        "nodes": [
            {"node": "node-a", "result": "removed", "keys": [PUBLIC_IP, STATUS], "error": None},
            {"node": "node-b", "result": "failed", "keys": []},
        ],
    }


async def test_another_prefix(cluster: FakeCluster, prune: Prune) -> None:
    """Another prefix has other keys; one that begins the same is another prefix."""
    await prune("--annotation-prefix=azure-lb-metadata.io.example")
    assert cluster.nodes["node-c"].annotations == {"other.example/key": "value"}
    assert cluster.nodes["node-b"].annotations == {STATUS: "ok"}


async def test_owned_only(cluster: FakeCluster, prune: Prune) -> None:
    """With --owned-only, keys that the agents' manager does not own alone stay, and so do whole Nodes."""
    cluster.nodes["node-a"].owned = {MANAGER: {STATUS}, "somebody": {PUBLIC_IP}}
    ended = await prune("--owned-only")
    assert ended.out == "node-a: removed 1 key: status\n"
    assert patched(cluster) == ["node-a"]
    assert cluster.nodes["node-a"].annotations == {PUBLIC_IP: "20.0.0.1", **OTHERS}
    assert cluster.asked("PATCH")[0].query == {"fieldManager": MANAGER, "force": "true"}


async def test_named_nodes(cluster: FakeCluster, prune: Prune) -> None:
    """Nodes named are read one by one, each once, and no other is touched."""
    ended = await prune("node-c", "node-a", "node-a")
    assert sorted(ended.out.splitlines()) == [
        "node-a: removed 2 keys: public-ip, status",
        "node-c: has no keys to remove",
    ]
    assert sorted(each.path for each in cluster.asked("GET")) == [
        "/api/v1/nodes/node-a",
        "/api/v1/nodes/node-c",
    ]
    assert patched(cluster) == ["node-a"]


async def test_no_such_node(prune: Prune) -> None:
    """A name that no Node has is a failure, and the others are done all the same."""
    ended = await prune("node-x", "node-a")
    assert ended.code == ExitCode.FAILED
    assert ended.out == "node-a: removed 2 keys: public-ip, status\n"
    assert ended.err == "node-x: there is no such Node\nof 2 Nodes: 1 failed, 1 removed\n"


async def test_pages(cluster: FakeCluster, prune: Prune) -> None:
    """All pages of a list are read."""
    cluster.page_size = 1
    ended = await prune()
    assert len(ended.out.splitlines()) == 2
    assert len(cluster.asked("GET")) == 3


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


async def test_expires_always(cluster: FakeCluster, prune: Prune) -> None:
    """A list whose places always expire is given up."""
    cluster.page_size = 1

    def expire(request: RecordedRequest) -> None:
        if "continue" in request.query:
            cluster.replies["GET /api/v1/nodes"].append(expired())

    cluster.on_request = expire
    ended = await prune()
    assert ended.code == ExitCode.FAILED
    assert "410" in ended.err
    assert patched(cluster) == []


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
    reply = Reply(status=status, headers={"Retry-After": "0"}, body=refusal(status).body)
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


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_concurrency(cluster: FakeCluster, prune: Prune, concurrency: int) -> None:
    """No more Nodes are written at a time than asked for, and no fewer."""
    for number in range(9):
        cluster.add_node(f"node-{number}", OURS)
        cluster.replies[f"PATCH /api/v1/nodes/node-{number}"].append(
            Reply(hold=True, status=422, body=refusal(422).body)
        )
    enough = asyncio.Event()
    cluster.on_request = lambda _: enough.set() if len(patched(cluster)) == concurrency else None
    running = asyncio.ensure_future(prune(f"--concurrency={concurrency}"))
    await enough.wait()
    assert len(patched(cluster)) == concurrency
    cluster.go_on.set()
    await running
    assert len(patched(cluster)) == len(cluster.nodes) - 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_interrupted(cluster: FakeCluster, kubeconfig: str, number: int, code: int) -> None:
    """Ctrl-C and SIGTERM end it at once, it says what is done, and a second run does the rest."""
    cluster.replies["PATCH /api/v1/nodes/node-b"].append(Reply(hold=True))
    program = (sys.executable, "-m", "sidecar", "prune", f"--kubeconfig={kubeconfig}", "--concurrency=1")
    process = await asyncio.create_subprocess_exec(
        *program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    reached = asyncio.Event()
    cluster.on_request = lambda request: reached.set() if request.path.endswith("/node-b") else None
    await reached.wait()
    process.send_signal(number)
    out, err = await process.communicate()
    assert process.returncode == code
    assert out == b"node-a: removed 2 keys: public-ip, status\n"
    assert err.decode().splitlines() == [
        "of 2 Nodes: 1 removed",
        "interrupted; what is done is done, repeat the command for the rest",
    ]
    again = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
    assert (await again.communicate())[0] == b"node-b: removed 1 key: status\n"


async def test_on_a_terminal(cluster: FakeCluster, kubeconfig: str) -> None:
    """A person at a terminal sees progress in one line, the failures, and the summary in the end."""
    cluster.replies["PATCH /api/v1/nodes/node-b"].append(refusal(422, "denied by policy"))
    person, terminal = os.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sidecar", "prune", f"--kubeconfig={kubeconfig}", "--concurrency=1"),
            stdout=terminal,
            stderr=terminal,
        )
        assert await process.wait() == ExitCode.FAILED
        out = (await asyncio.to_thread(os.read, person, 65536)).decode()
    finally:
        os.close(person)
        os.close(terminal)
    written = [part.strip() for part in out.split("\r\x1b[K") if part.strip()]
    assert written[:2] == ["3 Nodes read", "1 of 2 Nodes"]
    assert written[2].startswith("node-b: the Kubernetes API server answered 422: denied by policy")
    assert written[3:] == ["2 of 2 Nodes, 1 failed", "of 2 Nodes: 1 failed, 1 removed"]


async def test_reader_leaves(cluster: FakeCluster, kubeconfig: str) -> None:
    """When nobody reads the output any more the removal goes on to its end, and its code is true."""
    for number in range(10):
        cluster.add_node(f"node-{number}", OURS)
    cluster.replies["PATCH /api/v1/nodes/node-b"].append(refusal(422))
    command = f"{sys.executable} -m sidecar prune --kubeconfig={kubeconfig}"
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", f"set -o pipefail; {command} | true"), stderr=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == ExitCode.FAILED
    left = [name for name, node in cluster.nodes.items() if STATUS in node.annotations]
    assert left == ["node-b"]


@pytest.mark.parametrize("pods", [[], [FakePod("agents-1")]])
async def test_active_daemon_set(cluster: FakeCluster, prune: Prune, pods: list[FakePod]) -> None:
    """While the DaemonSet is not being deleted, nothing is read or written, and that is said."""
    cluster.daemon_set, cluster.pods = "active", pods
    ended = await prune(*WAIT)
    assert (ended.code, ended.out) == (ExitCode.DONE, "")
    assert ended.err == "DaemonSet lb/agents exists and is not being deleted: nothing is removed\n"
    assert cluster.asked("GET", "/api/v1/nodes") == []


async def test_active_daemon_set_as_json(cluster: FakeCluster, prune: Prune) -> None:
    """The JSON form says so, too."""
    cluster.daemon_set = "active"
    report = json.loads((await prune(*WAIT, "-o", "json")).out)
    assert "not being deleted" in report["skipped"]
    assert (report["complete"], report["nodes"]) == (True, [])


async def test_waits(cluster: FakeCluster, prune: Prune) -> None:
    """The removal begins when first the DaemonSet and then its pods are gone; a Job's pod may stay."""
    cluster.daemon_set = "deleting"
    cluster.pods = [FakePod("agents-1", "DaemonSet"), FakePod("hook-1", "Job")]

    def change(request: RecordedRequest) -> None:
        assert request.method == "GET"
        looks = len(cluster.asked("GET", "/apis/apps/v1/namespaces/lb/daemonsets/agents"))
        if looks == 2:
            cluster.daemon_set = None
        if looks == 3:
            cluster.pods.pop(0)
            cluster.on_request = lambda _: None

    cluster.on_request = change
    ended = await prune(*WAIT)
    assert ended.code == ExitCode.DONE
    assert len(ended.out.splitlines()) == 2
    pods = cluster.asked("GET", "/api/v1/namespaces/lb/pods")[0]
    assert pods.query["labelSelector"] == "app=lb, tier in (a,b)"
    assert pods.query["fieldSelector"] == "status.phase!=Succeeded,status.phase!=Failed"


async def test_installed_again(cluster: FakeCluster, prune: Prune) -> None:
    """A DaemonSet that is there again while its predecessor is waited for keeps its keys."""
    cluster.pods = [FakePod("agents-1")]

    def reinstall(request: RecordedRequest) -> None:
        if request.path.endswith("/pods"):
            cluster.daemon_set = "active"

    cluster.on_request = reinstall
    ended = await prune(*WAIT)
    assert ended.code == ExitCode.DONE
    assert "not being deleted" in ended.err
    assert patched(cluster) == []


async def test_never_gone(cluster: FakeCluster, prune: Prune) -> None:
    """What does not go in time is named, the first five pods of it, and nothing is removed."""
    cluster.daemon_set = "deleting"
    cluster.pods = [FakePod(f"agents-{number}") for number in range(9)]
    ended = await prune(*WAIT, "--timeout=200ms")
    assert ended.code == ExitCode.FAILED
    assert (
        "after 200ms there is still DaemonSet lb/agents, pod agents-0, pod agents-1, pod agents-2, "
        "pod agents-3 and 5 more: nothing was removed" in ended.err
    )
    assert cluster.asked("GET", "/api/v1/nodes") == []


async def test_no_word_of_the_daemon_set(cluster: FakeCluster, prune: Prune) -> None:
    """When the API server does not say in time whether the DaemonSet is gone, nothing is removed."""
    cluster.replies["GET /apis/apps/v1/namespaces/lb/daemonsets/agents"].append(Reply(hold=True))
    ended = await prune(*WAIT, "--timeout=100ms")
    assert ended.code == ExitCode.FAILED
    assert "not known whether DaemonSet lb/agents is gone" in ended.err
    assert patched(cluster) == []


async def test_may_not_see_the_daemon_set(cluster: FakeCluster, prune: Prune) -> None:
    """Without the right to see the DaemonSet, nothing is removed, and the advice names role and namespace."""
    message = (
        'daemonsets.apps "agents" is forbidden: User "eve" cannot get resource "daemonsets" '
        'in API group "apps" in the namespace "lb"'
    )
    cluster.replies["GET /apis/apps/v1/namespaces/lb/daemonsets/agents"].append(refusal(403, message))
    ended = await prune(*WAIT)
    assert ended.code == ExitCode.FAILED
    assert "let eve get daemonsets (a Role and its RoleBinding in lb)" in ended.err
    assert patched(cluster) == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--annotation-prefix=kubernetes.io"], "reserved"),
        (["--annotation-prefix=node.alpha.kubernetes.io"], "reserved"),
        (["--annotation-prefix="], "not a DNS subdomain"),
        (["Node_A"], "cannot be the name of a Node"),
        (["../nodes/a"], "cannot be the name of a Node"),
        (["--concurrency=0"], "from 1 to 64"),
        (["--concurrency=65"], "from 1 to 64"),
        (["--concurrency=8.5"], "from 1 to 64"),
        ([WAIT[0]], "go together"),
        ([WAIT[1]], "go together"),
        (["--timeout=1m"], "--timeout is for"),
        ([WAIT[0], "--pod-selector= "], "label selector"),
        (["--wait-for-daemonset=agents", WAIT[1]], "NAMESPACE/NAME"),
        (["--wait-for-daemonset=a/b/c", WAIT[1]], "NAMESPACE/NAME"),
        (["--context=other"], "no context other"),
    ],
)
async def test_usage(cluster: FakeCluster, prune: Prune, arguments: list[str], text: str) -> None:
    """Wrong arguments are told in one line before anything is asked."""
    ended = await prune(*arguments)
    assert ended.code == ExitCode.USAGE
    assert text in ended.err
    assert len(ended.err.splitlines()) == 1
    assert cluster.requests == []
