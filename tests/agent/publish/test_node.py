"""The node publisher takes up what it finds, and writes what is wanted when it is due."""

import asyncio
import logging

import pytest

from sidecar.core.annotations import Layout
from sidecar.core.state import DataOrigin
from sidecar.kube import KubernetesError
from tests.agent.publish.publishing import LAYOUT, NODE, Publishing, left_by_an_earlier_run
from tests.agent.publish.support import answer, driven, in_virtual_time, unavailable
from tests.core.examples import ELSEWHERE, FULL, MOVED
from tests.support.fake_nodes import forbidden, rejected, unavailable as trouble
from tests.support.records import logged

pytestmark = in_virtual_time

# Restoring


async def test_found_document_is_told_once_before_anything_is_written() -> None:
    """What an earlier run published is reported at the first reading, and nothing is written meanwhile."""
    publishing = Publishing()
    publishing.nodes.add(NODE, left_by_an_earlier_run())
    async with driven(publishing.loop):
        await publishing.wait(440)
    assert [(call.method, call.cached) for call in publishing.nodes.calls] == [("get", True)]
    assert [found.document for found in publishing.agent.found] == [FULL]
    assert publishing.agent.latest.value.state.source is DataOrigin.RESTORED


async def test_first_write_waits_for_the_first_reading() -> None:
    """An agent that has data but cannot read its Node writes nothing, however long that lasts."""
    publishing = Publishing()
    publishing.nodes.add(NODE, left_by_an_earlier_run())
    publishing.nodes.outage = trouble()
    publishing.agent.see(answer(MOVED))
    async with driven(publishing.loop):
        await publishing.wait(3000)
        assert publishing.nodes.applied == []
        assert publishing.agent.found == []
        publishing.nodes.outage = None
        await publishing.wait(3600)
    assert len(publishing.agent.found) == 1
    assert len(publishing.nodes.applied) == 1
    written = publishing.nodes.applied[0].annotations
    assert written[LAYOUT.key("last-changes")].endswith("-outbound 52.1.1.1 +outbound 52.2.2.2")


async def test_new_node_is_written_at_once() -> None:
    """Where there is nothing to restore, the first data are written with the first turn."""
    publishing = Publishing()
    publishing.nodes.add(NODE, {"example.com/theirs": "kept"})
    publishing.agent.see(answer(FULL))
    async with driven(publishing.loop):
        await publishing.wait(1)
    (call,) = publishing.nodes.applied
    assert (call.name, call.uid, call.field_manager) == (NODE, publishing.node.uid, "azure-lb-metadata")
    assert publishing.agent.found == []
    assert publishing.node.annotations == {**call.annotations, "example.com/theirs": "kept"}
    assert publishing.times("apply") == [0]


async def test_second_start_changes_nothing() -> None:
    """A restarted agent reads once, and writes nothing when it gets the same answer again."""
    first = Publishing()
    first.nodes.add(NODE)
    async with driven(first.loop):
        await first.answered(FULL, until=600)
    version = first.node.version
    second = Publishing(nodes=first.nodes)
    async with driven(second.loop):
        await second.wait(630)
        await second.answered(FULL, until=1200)
    assert first.times("apply") == [0]
    assert first.times("get") == [0, 600]
    assert second.node.version == version
    assert [found.document for found in second.agent.found] == [FULL]


async def test_data_of_before_an_outage_of_the_service_survive_a_restart() -> None:
    """During an outage a restarted agent serves what it found, and says `stale` when its patience ends."""
    publishing = Publishing()
    publishing.nodes.add(NODE, left_by_an_earlier_run())
    async with driven(publishing.loop):
        await publishing.wait(5)
        publishing.agent.see(unavailable())
        await publishing.wait(2000)
    assert publishing.times("apply") == [465]
    expected = left_by_an_earlier_run() | {LAYOUT.key("status"): "stale", LAYOUT.key("reason"): "unavailable"}
    assert publishing.node.annotations == expected


async def test_annotations_turn_stale_without_any_outcome() -> None:
    """The moment of turning stale needs no new state to wake the publisher."""
    publishing = Publishing()
    publishing.nodes.add(NODE)
    publishing.agent.see(answer(FULL))
    async with driven(publishing.loop):
        await publishing.wait(700)
    assert publishing.times("apply") == [0, 465]
    assert publishing.node.annotations[LAYOUT.key("status")] == "stale"


async def test_agent_without_answers_says_starting_in_time() -> None:
    """After stale-after without any answer the Node says why, without any new state."""
    publishing = Publishing()
    publishing.nodes.add(NODE)
    publishing.agent.see(unavailable())
    async with driven(publishing.loop):
        await publishing.wait(600)
    assert publishing.times("apply") == [300]
    assert publishing.node.annotations == {
        LAYOUT.key("status"): "starting",
        LAYOUT.key("reason"): "unavailable",
    }


# Reading and writing


async def test_quiet_hours_are_cached_readings() -> None:
    """While nothing changes, the Node is read from the cache every resync interval, and not written."""
    publishing = Publishing()
    publishing.nodes.add(NODE)
    async with driven(publishing.loop):
        await publishing.answered(FULL, until=3500)
    assert publishing.times("apply") == [0]
    assert publishing.times("get") == [0, 900, 1800, 2700]
    assert all(call.cached for call in publishing.nodes.calls if call.method == "get")


async def test_change_is_written_within_the_splay_and_a_public_ip_at_once() -> None:
    """A change waits its random part of the splay; a new public IP does not."""
    publishing = Publishing()
    publishing.nodes.add(NODE)
    async with driven(publishing.loop):
        await publishing.answered(FULL, until=100)
        await publishing.answered(MOVED, until=200)
        await publishing.answered(ELSEWHERE, until=300)
    assert publishing.times("apply") == [0, 115, 200]


async def test_removed_annotations_come_back() -> None:
    """What somebody removed is found missing at the next reading, and written again."""
    publishing = Publishing()
    publishing.nodes.add(NODE)
    async with driven(publishing.loop):
        await publishing.answered(FULL, until=100)
        publishing.node.remove(LAYOUT.key("loadbalancer"))
        await publishing.answered(FULL, until=1000)
    assert publishing.times("apply") == [0, 915]
    assert publishing.node.annotations[LAYOUT.key("loadbalancer")] == FULL.canonical.decode()


async def test_two_prefixes_do_not_touch_each_other() -> None:
    """Two agents with two prefixes each keep their own annotations on one Node."""
    first = Publishing()
    second = Publishing(nodes=first.nodes, layout=Layout(prefix="lb.example.com", annotate="summary"))
    first.nodes.add(NODE)
    async with driven(first.loop), driven(second.loop):
        for document in (FULL, MOVED):
            first.agent.see(answer(document))
            second.agent.see(answer(document))
            await asyncio.sleep(100)
    assert {call.field_manager for call in first.nodes.applied} == {
        "azure-lb-metadata",
        "azure-lb-metadata/lb.example.com",
    }
    for prefix in ("azure-lb-metadata.io", "lb.example.com"):
        assert first.node.annotations[f"{prefix}/outbound-ips"] == "52.2.2.2"


async def test_write_is_logged_with_what_it_cost(caplog: pytest.LogCaptureFixture) -> None:
    """Every write is one line with the number of keys and bytes, the status and what was left out."""
    caplog.set_level(logging.INFO)
    publishing = Publishing(layout=Layout(budget=10))
    node = publishing.nodes.add(NODE)
    publishing.agent.see(answer(FULL))
    async with driven(publishing.loop):
        await publishing.wait(1)
    (line,) = logged(caplog, "annotated")
    assert line["keys"] == len(node.annotations)
    assert line["bytes"] == sum(len(key) + len(value) for key, value in node.annotations.items())
    assert line["status"] == "ok"
    assert str(line["omitted"]).startswith("loadbalancer=3,inbound=1")
    assert line["resource_version"] == str(node.version)


async def test_size_and_budget_are_measured() -> None:
    """Metrics say how many bytes stand on the Node, how many may, and how many keys had to be left out."""
    publishing = Publishing(layout=Layout(budget=500))
    publishing.nodes.add(NODE)
    publishing.agent.see(answer(FULL))
    async with driven(publishing.loop):
        await publishing.wait(1)
    value = publishing.agent.runtime.metrics.registry.get_sample_value
    size = sum(len(key) + len(text) for key, text in publishing.node.annotations.items())
    assert value("azure_lb_metadata_annotation_bytes") == size <= 500
    assert value("azure_lb_metadata_annotation_budget_bytes") == 500
    omitted = publishing.node.annotations[LAYOUT.key("omitted")]
    assert value("azure_lb_metadata_omitted_annotations") == len(omitted.split(",")) > 0


async def test_size_of_what_was_found_is_measured() -> None:
    """After a restart the size is known from the first reading, though nothing has to be written."""
    publishing = Publishing()
    publishing.nodes.add(NODE, left_by_an_earlier_run())
    async with driven(publishing.loop):
        await publishing.wait(1)
    size = sum(len(key) + len(text) for key, text in publishing.node.annotations.items())
    registry = publishing.agent.runtime.metrics.registry
    assert registry.get_sample_value("azure_lb_metadata_annotation_bytes") == size
    assert publishing.nodes.applied == []


# Earlier prefixes


async def test_keys_of_an_earlier_prefix_are_removed_once_at_the_start() -> None:
    """What our field manager of an earlier prefix owns goes with the first reading; other keys stay."""
    old = Publishing(layout=Layout(prefix="old.example.com"))
    old.nodes.add(NODE, {"other.example.com/theirs": "kept"})
    old.agent.see(answer(FULL))
    async with driven(old.loop):
        await old.wait(1)
    layout = Layout(previous_prefixes=("older.example.com", "old.example.com"))
    new = Publishing(nodes=old.nodes, layout=layout)
    new.agent.see(answer(FULL))
    async with driven(new.loop):
        await new.answered(FULL, until=3600)
    left = [call.field_manager for call in new.nodes.applied if not call.annotations]
    assert left == ["azure-lb-metadata/old.example.com"]
    assert new.times("apply")[1:3] == [31, 31], "while policies may still be changing, nothing is written"
    assert not [key for key in new.node.annotations if key.startswith("old")]
    assert new.node.annotations["other.example.com/theirs"] == "kept"
    assert new.node.annotations[LAYOUT.key("status")] == "ok"


async def test_keys_of_an_earlier_prefix_go_whoever_owns_them() -> None:
    """Known keys that the earlier field manager's apply leaves, as after a reset of owners, go as well."""
    old = await after_another_prefix()
    old.node.owners = {name: {"before-first-apply"} for name in old.node.annotations}
    old.node.annotate("old.example.com/theirs", "kept")
    old.agent.see(answer(FULL))
    async with driven(old.loop):
        await old.answered(FULL, until=900)
    assert [key for key in old.node.annotations if key.startswith("old")] == ["old.example.com/theirs"]
    assert old.node.annotations[LAYOUT.key("status")] == "ok"


async def after_another_prefix() -> Publishing:
    """An agent whose Node has the annotations that an earlier run wrote under another prefix."""
    old = Publishing(layout=Layout(prefix="old.example.com"))
    old.nodes.add(NODE)
    old.agent.see(answer(FULL))
    async with driven(old.loop):
        await old.wait(1)
    return Publishing(nodes=old.nodes, layout=Layout(previous_prefixes=("old.example.com",)))


async def test_removal_of_an_earlier_prefix_is_tried_until_it_succeeds() -> None:
    """An API server that fails at the start does not leave the old keys behind."""
    new = await after_another_prefix()
    new.nodes.outage = trouble()
    async with driven(new.loop):
        await new.wait(60)
        assert new.node.annotations
        new.nodes.outage = None
        await new.wait(900)
    assert not [key for key in new.node.annotations if key.startswith("old")]


async def test_node_made_anew_while_an_earlier_prefix_is_left_is_written() -> None:
    """A Node that is replaced before its old keys are removed is read again, left and written."""
    new = await after_another_prefix()
    async with driven(new.loop):
        await new.answered(FULL, until=20)
        renewed = new.nodes.add(NODE)
        await new.answered(FULL, until=900)
    assert [call.uid for call in new.nodes.applied[2:]] == [renewed.uid] * 2
    assert renewed.annotations[LAYOUT.key("status")] == "ok"


@pytest.mark.parametrize("error", [forbidden(), rejected()])
async def test_nothing_is_written_while_an_earlier_prefix_cannot_be_left(error: KubernetesError) -> None:
    """A removal that is refused for good holds back what the new prefix has to say."""
    new = await after_another_prefix()
    before = dict(new.node.annotations)
    async with driven(new.loop):
        await new.answered(FULL, until=20)
        new.nodes.outage = error
        await new.answered(FULL, until=900)
    assert new.node.annotations == before
    assert not any(call.annotations for call in new.nodes.applied[1:])
