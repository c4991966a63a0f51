"""What tests of `doctor` run, and what it tells them."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import Cluster, Identity
from tests.support.commands import run_here
from tests.support.fleet import document
from tests.support.waiting import until

KNOWN = document(public=["20.1.2.3"], inbound=[("20.20.20.20", 443)], outbound=["52.1.1.1"])
"""What the metadata service says where nothing is amiss."""


@dataclass(frozen=True)
class Report:
    """What `doctor --json` said, and its exit code."""

    code: int | None
    value: dict[str, Any]
    err: str

    @property
    def causes(self) -> list[str]:
        """Names of the causes, in their order."""
        return [cause["name"] for cause in self.value["causes"]]

    @property
    def notes(self) -> str:
        """What could not be looked at."""
        return "\n".join(self.value["notes"])

    def cause(self, name: str) -> dict[str, Any]:
        """A cause by its name."""
        found: dict[str, Any] = next(each for each in self.value["causes"] if each["name"] == name)
        return found

    def told(self, name: str) -> str:
        """The evidence of a cause."""
        return "\n".join(self.cause(name)["evidence"])

    def names_first(self, name: str, *, sure: str | None = None) -> None:
        """Check that this cause is the first one, and that the exit code says that there is one."""
        assert self.code == 1, self.value
        assert self.causes[0] == name, self.value
        assert self.cause(name)["evidence"]
        assert sure in {None, self.cause(name)["sure"]}, self.value

    def is_healthy(self) -> None:
        """Check that there is no cause."""
        assert (self.code, self.causes) == (0, []), self.value
        assert self.value["healthy"] is True


Doctor = Callable[..., Awaitable[Report]]
"""Runs `doctor` with these arguments."""


async def run_doctor(capsys: pytest.CaptureFixture[str], *arguments: str) -> Report:
    """Run it in this process, and read what it printed."""
    capsys.readouterr()  # what ended before it, such as an agent, has printed its log
    ended = await run_here(capsys, "doctor", "--json", *arguments)
    return Report(ended.code, json.loads(ended.out), ended.err)


async def reader_of(cluster: Cluster, node: str, *, directory: Path) -> Identity:
    """Somebody on `node` who may read Nodes and nothing else, known to the authorizer."""
    rules = ({"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]},)
    reader = await cluster.create_identity(node, directory=directory, rules=rules)
    await until(lambda: cluster.may(reader, verb="get", resource="nodes", name=node))
    return reader
