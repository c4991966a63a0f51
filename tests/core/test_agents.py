"""Which pod is the agent of a Node, and under which prefix it writes."""

from dataclasses import replace
from typing import Any

import pytest

from sidecar.core.cluster import (
    AgentDaemonSet,
    AgentPod,
    Placement,
    agent_of,
    agents_by_node,
    annotation_prefix,
    rivals,
    user_of,
)

PREFIX = "azure-lb-metadata.io"


def pod(name: str, *, node: str = "node", ready: bool = True, ending: bool = False) -> AgentPod:
    """An agent's pod of the default prefix."""
    prefix = "azure-lb-metadata.io"
    return AgentPod(namespace="lb", name=name, node=node, prefix=prefix, ready=ready, ending=ending)


def test_the_pod_that_serves_counts() -> None:
    """Of several pods of a Node the ready one counts, then one that stays, in whatever order they come."""
    ending, starting, ready = pod("a", ending=True), pod("b", ready=False), pod("c")
    assert agent_of("node", [ready, ending, starting], prefix=None) == ready
    assert agent_of("node", [ending, starting, ready], prefix=None) == ready
    assert agent_of("node", [ending, starting], prefix=None) == starting
    assert agent_of("node", [ending], prefix=None) == ending
    assert agent_of("other", [ready], prefix=None) is None
    assert agent_of("node", [ready], prefix="lb.example.com") is None


def test_by_node() -> None:
    """Each Node's agent is found at once, and pods of another prefix are nobody's."""
    pods = [pod("a"), pod("b", node="two"), pod("c", node="two", ready=False)]
    chosen = agents_by_node(pods, prefix="azure-lb-metadata.io")
    assert {node: each.name for node, each in chosen.items()} == {"node": "a", "two": "b"}
    assert agents_by_node(pods, prefix="lb.example.com") == {}


@pytest.mark.parametrize(
    ("arguments", "prefix"),
    [
        ([], "azure-lb-metadata.io"),
        (["run", "--annotation-prefix=lb.example.com"], "lb.example.com"),
        (["run", "--annotation-prefix", "lb.example.com", "--once"], "lb.example.com"),
        (["run", "--annotation-prefix"], "azure-lb-metadata.io"),
        (["run", "--no-annotations"], None),
        (["run", "--upstream=http://agent"], None),
    ],
)
def test_prefix(arguments: list[str], prefix: str | None) -> None:
    """The flag says under which prefix an agent writes, else the default is, unless it writes nothing."""
    assert annotation_prefix(arguments) == prefix


def test_prefix_from_variable() -> None:
    """A variable says it where no flag does."""
    variables = {"AZURE_LB_METADATA_ANNOTATION_PREFIX": "lb.example.com"}
    assert annotation_prefix(["run"], variables) == "lb.example.com"
    assert annotation_prefix(["run", "--annotation-prefix=a.io"], variables) == "a.io"


@pytest.mark.parametrize(
    ("arguments", "variables", "writes"),
    [
        (["run"], {"UPSTREAM": "http://agent"}, False),
        (["run"], {"UPSTREAM": "imds"}, True),
        (["run"], {"UPSTREAM": ""}, True),
        (["run", "--upstream=imds"], {}, True),
        (["run", "--upstream", "http://agent"], {}, False),
        (["run", "--upstream=imds"], {"UPSTREAM": "http://agent"}, True),
        (["run"], {"ANNOTATIONS": "false"}, False),
        (["run"], {"ANNOTATIONS": "Off"}, False),
        (["run"], {"ANNOTATIONS": "true"}, True),
        (["run", "--annotations"], {"ANNOTATIONS": "0"}, True),
        (["run", "--no-annotations", "--annotations"], {}, True),
    ],
)
def test_whether_it_writes(arguments: list[str], variables: dict[str, str], *, writes: bool) -> None:
    """Flags and variables say whether an agent annotates at all, as its settings read them."""
    given = {f"AZURE_LB_METADATA_{name}": value for name, value in variables.items()}
    assert annotation_prefix(arguments, given) == ("azure-lb-metadata.io" if writes else None)


def daemon_set(name: str = "agents", *, prefix: str | None = PREFIX, **placement: Any) -> AgentDaemonSet:
    """A DaemonSet of agents that may run anywhere, or where `placement` lets it."""
    return AgentDaemonSet(namespace="lb", name=name, prefix=prefix, placement=Placement(**placement))


def test_user_of_a_node() -> None:
    """A Node is used by the DaemonSet whose pods may run there and write under the prefix, and stay."""
    pool = daemon_set("pool", selector={"agentpool": "b"})
    assert user_of({"agentpool": "b"}, [pool], prefix=PREFIX) == pool
    assert user_of({"agentpool": "a"}, [pool], prefix=PREFIX) is None
    assert user_of({"agentpool": "b"}, [pool], prefix="lb.example.com") is None
    assert user_of({}, [daemon_set(prefix=None)], prefix=PREFIX) is None
    assert user_of({}, [replace(daemon_set(), deleting=True)], prefix=PREFIX) is None


def test_rivals() -> None:
    """Another DaemonSet's agent with the same prefix is a rival; one of an update, or that ends, is none."""
    own = replace(pod("a"), controller="agents")
    others = {
        "rival": replace(pod("b"), controller="others"),
        "elsewhere": replace(pod("c"), controller="agents", namespace="two"),
        "update": replace(pod("d"), controller="agents"),
        "ending": replace(pod("e", ending=True), controller="others"),
        "mute": replace(pod("f"), controller="others", prefix=None),
        "other prefix": replace(pod("g"), controller="others", prefix="lb.example.com"),
        "other node": replace(pod("h", node="two"), controller="others"),
    }
    assert rivals("node", [own, *others.values()], of=own) == [others["rival"], others["elsewhere"]]
