"""What every node pays, guarded by counts: modules in a process, bytes on a Node.

Requests are counted where they are made, in tests/agent/publish; times are measured by bench/.
"""

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from sidecar.core.annotations import Layout, annotations
from sidecar.simulator.documents import DOCUMENTS, Amounts
from tests.support.states import answer, snapshot_after
from tests.support.waiting import DEADLINE_S

ROOT = Path(__file__).parent.parent

AGENT = {
    *("aiohappyeyeballs", "aiohttp", "aiosignal", "annotated_types", "attr", "dotenv", "frozenlist"),
    *("idna", "multidict", "prometheus_client", "propcache", "pydantic", "pydantic_core"),
    *("pydantic_settings", "typing_extensions", "typing_inspection", "yarl"),
}
"""Packages of others in every agent."""

ANNOTATING = "sidecar.commands.run, sidecar.kube, sidecar.agent.publish_node, sidecar.agent.publish_events"


@functools.cache
def loaded_by(modules: str) -> frozenset[str]:
    """The modules that a new interpreter has after importing these."""
    program = f"import sys, {modules}; print(*sys.modules)"
    finished = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    return frozenset(finished.stdout.split())


@pytest.mark.parametrize(
    ("modules", "packages"),
    [
        ("sidecar.commands.run", AGENT),
        (ANNOTATING, AGENT),
        ("sidecar.commands.simulate", (AGENT | {"yaml"}) - {"dotenv", "prometheus_client"}),
    ],
    ids=["http-only", "annotations", "simulator"],
)
def test_packages(modules: str, packages: set[str]) -> None:
    """A mode loads these packages of others; any more would be paid for on every node."""
    loaded = {name.partition(".")[0] for name in loaded_by(modules)}
    # Every interpreter of some distributions loads a module of theirs.
    others = loaded - loaded_by("sys") - set(sys.stdlib_module_names) - {"sidecar"}
    assert {name for name in others if not name.startswith(("_", "cython_"))} <= packages


def test_parts_that_wait_until_they_are_needed() -> None:
    """An agent that answers over HTTP alone has loaded nothing that it may never use."""
    loaded = loaded_by("sidecar.commands.run")
    for part in (
        "sidecar.kube",
        "sidecar.agent.publish_node",
        "sidecar.agent.publish_events",
        "sidecar.api.page",
        "sidecar.core.stun",
        "sidecar.sources.probing",
    ):
        assert part not in loaded
    assert {"difflib", "yaml", "multiprocessing"}.isdisjoint(loaded)


@pytest.mark.parametrize(
    ("document", "full", "summary"),
    [
        ("public-ip", 499, 340),
        ("all", 1142, 538),
        ("dual-stack", 1543, 666),
        ("several-nics", 1321, 520),
        ("many-rules", 6378, 6334),
    ],
)
def test_bytes_on_a_node(document: str, full: int, summary: int) -> None:
    """So many bytes of annotations, which everybody who watches nodes gets with every status post."""
    assert (size(document, "full"), size(document, "summary")) == (full, summary)


def size(document: str, annotate: Literal["full", "summary"]) -> int:
    """Bytes of keys and values for one of the simulator's documents."""
    snapshot = snapshot_after(answer(json.dumps(DOCUMENTS[document].build(Amounts())).encode()))
    values = annotations(snapshot.state, snapshot.status, None, layout=Layout(annotate=annotate))
    return sum(len(key) + len(value) for key, value in values.items())
