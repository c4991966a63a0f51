"""Which pod is the agent of a Node, and under which prefix it writes."""

import pytest

from sidecar.core.agents import AgentPod, agent_of, agents_by_node, annotation_prefix


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
        (["run", "--annotation-prefix"], ""),
        (["run", "--no-annotations"], None),
        (["run", "--upstream=http://agent"], None),
    ],
)
def test_prefix(arguments: list[str], prefix: str | None) -> None:
    """The flag says under which prefix an agent writes, else the default is, unless it writes nothing."""
    assert annotation_prefix(arguments) == prefix


def test_prefix_from_variable() -> None:
    """A variable says it where no flag does."""
    assert annotation_prefix(["run"], "lb.example.com") == "lb.example.com"
    assert annotation_prefix(["run", "--annotation-prefix=a.io"], "lb.example.com") == "a.io"
