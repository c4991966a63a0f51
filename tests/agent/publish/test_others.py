"""The node publisher notices what others do to its annotations, and removes what is not due."""

import asyncio
from dataclasses import replace

import pytest

from sidecar.core.annotations import Layout
from tests.agent.publish.publishing import LAYOUT, NODE, Publishing
from tests.agent.publish.support import answer, driven, in_virtual_time
from tests.core.examples import FULL, MOVED
from tests.support.fake_nodes import unavailable as trouble
from tests.support.faults import Origin, Promise, fault
from tests.support.records import logged

pytestmark = in_virtual_time


@fault(
    Origin.API_SERVER,
    "Another agent with the same prefix writes to the Node",
    Promise(
        served="Not affected.",
        annotated="What the one wrote last, until the other's next reading; never faster than that.",
        logged=(
            "`annotations-changed` with `by: agent`, by both, at most once a reading;"
            ' `foreign_changes_total{by="agent"}`; `doctor` names both agents.'
        ),
        recovery="When one of the two has another prefix or is gone, at the other's next reading.",
    ),
)
async def test_two_agents_with_one_prefix_are_noticed(caplog: pytest.LogCaptureFixture) -> None:
    """Two agents that rewrite each other on one Node both say so, and do it no faster than they read."""
    first = Publishing()
    second = Publishing(nodes=first.nodes, layout=Layout(annotate="summary"))
    first.nodes.add(NODE)
    async with driven(first.loop), driven(second.loop):
        for _ in range(360):
            first.agent.see(answer(FULL))
            second.agent.see(answer(FULL))
            await asyncio.sleep(10)
    lines = logged(caplog, "annotations-changed")
    assert "agent" in {line["by"] for line in lines}
    assert {line["managers"] for line in lines} <= {"azure-lb-metadata", ""}
    noticed = [changes(each, "agent") + changes(each, "other") for each in (first, second)]
    assert min(noticed) > 0
    assert sum(noticed) == len(lines) <= len(first.times("get"))
    writes = [call for call in first.nodes.calls if call.method != "get"]
    assert len(writes) <= 2 + len(first.times("get"))


async def test_hostile_field_manager(caplog: pytest.LogCaptureFixture) -> None:
    """The names of field managers are somebody else's words: few, cut, and printable in the log."""
    publishing = Publishing()
    publishing.nodes.add(NODE)
    async with driven(publishing.loop):
        await publishing.answered(FULL, until=100)
        for number, name in enumerate(
            ("public-ip", "public-ips", "inbound", "status", "egress-ips", "revision")
        ):
            publishing.node.annotate(LAYOUT.key(name), "x", manager=f"{number}\x1b[2J\n" + "y" * 100)
        await publishing.answered(FULL, until=1000)
    (line,) = logged(caplog, "annotations-changed")
    assert isinstance(line["managers"], str)
    assert line["managers"].isprintable()
    assert line["managers"].count(",") < 5


async def test_second_agent_alike_is_noticed(caplog: pytest.LogCaptureFixture) -> None:
    """Two agents that write the same are noticed by the times that the one writes and the other did not."""
    first = Publishing(heartbeat_interval=1800)
    second = Publishing(nodes=first.nodes, heartbeat_interval=1800)
    first.nodes.add(NODE)
    async with driven(first.loop):
        await first.answered(FULL, until=100)
        async with driven(second.loop):
            for _ in range(720):
                first.agent.see(answer(FULL))
                second.agent.see(answer(FULL))
                await asyncio.sleep(10)
    assert {(line["names"], line["by"]) for line in logged(caplog, "annotations-changed")} == {
        ("observed-at", "agent")
    }


async def test_change_by_somebody_is_no_agents(caplog: pytest.LogCaptureFixture) -> None:
    """What a person changes or removes is told as another's, with the field managers that own it now."""
    publishing = Publishing()
    publishing.nodes.add(NODE)
    async with driven(publishing.loop):
        await publishing.answered(FULL, until=100)
        publishing.node.annotate(LAYOUT.key("public-ip"), "6.6.6.6")
        publishing.node.remove(LAYOUT.key("status"))
        await publishing.answered(FULL, until=1800)
    (line,) = logged(caplog, "annotations-changed")
    assert (line["names"], line["managers"], line["by"]) == ("public-ip,status", "kubectl-annotate", "other")
    assert (changes(publishing, "agent"), changes(publishing, "other")) == (0, 1)


async def test_write_whose_answer_is_lost_is_nobody_elses(caplog: pytest.LogCaptureFixture) -> None:
    """A write that was done though its answer never came is not taken for another agent's."""
    publishing = Publishing()
    publishing.nodes.add(NODE)
    async with driven(publishing.loop):
        await publishing.answered(FULL, until=880)
        publishing.nodes.after.append(trouble())
        await publishing.answered(MOVED, until=1700)
    assert publishing.node.annotations[LAYOUT.key("outbound-ips")] == "52.2.2.2"
    first, lost, *_ = publishing.times("apply")
    assert (first, lost) == (0, 895)
    assert publishing.times("get")[1] > lost, "the Node is read before the write is repeated"
    assert logged(caplog, "annotations-changed") == []


async def test_removal_is_one_request_logged_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """What is not due and somebody else's goes with one request that names nothing else."""
    publishing = Publishing()
    publishing.nodes.add(NODE)
    bare = replace(FULL, public_ip_addresses=())
    async with driven(publishing.loop):
        await publishing.answered(bare, until=100)
        for name in ("public-ip", "public-ips"):
            publishing.node.annotate(LAYOUT.key(name), "6.6.6.6")
        publishing.node.annotate("example.com/theirs", "kept")
        await publishing.answered(bare, until=1800)
    assert publishing.times("apply") == [0]
    (call,) = [call for call in publishing.nodes.calls if call.method == "remove"]
    assert call.keys == {LAYOUT.key("public-ip"), LAYOUT.key("public-ips")}
    assert (call.uid, call.field_manager) == (publishing.node.uid, "azure-lb-metadata")
    assert publishing.node.annotations["example.com/theirs"] == "kept"
    (line,) = logged(caplog, "annotations-removed")
    assert (line["names"], line["count"]) == ("public-ip,public-ips", 2)
    value = publishing.agent.runtime.metrics.registry.get_sample_value
    assert value("azure_lb_metadata_removed_annotations_total") == 2
    size = sum(len(key) + len(text) for key, text in ours(publishing).items())
    assert value("azure_lb_metadata_annotation_bytes") == size


def ours(publishing: Publishing) -> dict[str, str]:
    """Our annotations of the Node."""
    return {key: text for key, text in publishing.node.annotations.items() if key.startswith(LAYOUT.prefix)}


def changes(publishing: Publishing, by: str) -> float:
    """How often an agent found its annotations changed."""
    registry = publishing.agent.runtime.metrics.registry
    return registry.get_sample_value("azure_lb_metadata_foreign_changes_total", {"by": by}) or 0
