"""`prune`: from which Nodes it removes which keys, and what it says of it."""

import json

from sidecar.errors import ExitCode
from tests.fleet.prune.support import MANAGER, OTHERS, PREFIX, PUBLIC_IP, STATUS, Prune, patched
from tests.support.fake_apiserver import refusal
from tests.support.fake_cluster import FakeCluster


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
    cluster.nodes["node-a"].owners |= {STATUS: {MANAGER}, PUBLIC_IP: {"somebody"}}
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
