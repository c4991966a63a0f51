"""The image runs Python without docstrings and assertions (``PYTHONOPTIMIZE=2``): nothing depends on them."""

import ast
import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sidecar.simulator import Serving
from tests.chart.helm import CHART
from tests.support.agent import AgentProcess, agent_with
from tests.support.program import CHECKOUT, Settings, clean_environment
from tests.support.waiting import DEADLINE_S

COMMANDS = ("run", "get", "wait", "exec", "nodes", "rules", "doctor", "prune", "simulate", "demo")
HELM_TEST = CHART / "files" / "helm-test.py"


def depends_on_optimization(tree: ast.AST) -> Iterator[int]:
    """The lines that read a docstring, or assert what they need."""
    for node in ast.walk(tree):
        match node:
            case ast.Assert() | ast.Attribute(attr="__doc__") | ast.Name(id="__doc__" | "__debug__"):
                yield node.lineno


@pytest.mark.parametrize("source", ["assert x", "print(f.__doc__)", "print(__doc__)", "if __debug__: f()"])
def test_dependence_shows(source: str) -> None:
    """Each way to depend on them is found."""
    assert list(depends_on_optimization(ast.parse(source))) == [1]


def test_nothing_depends_on_docstrings_or_assertions() -> None:
    """No file of the program, of the chart or of the examples reads a docstring or asserts."""
    files = [
        path for folder in ("sidecar", "charts", "examples") for path in (CHECKOUT / folder).rglob("*.py")
    ]
    assert len(files) > 100
    found = {
        str(path.relative_to(CHECKOUT)): list(depends_on_optimization(ast.parse(path.read_text())))
        for path in files
    }
    assert {path: lines for path, lines in found.items() if lines} == {}


def said(*arguments: str | Path, optimize: int, extra: dict[str, str] | None = None) -> tuple[int, str, str]:
    """What a Python program says; `optimize` as ``PYTHONOPTIMIZE`` has it."""
    environment = clean_environment({"PYTHONOPTIMIZE": str(optimize), "COLUMNS": "110", **(extra or {})})
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str) -> None:
    """The help of each command is the same without docstrings."""
    code, out, _ = plain = said("-m", "sidecar", command, "--help", optimize=0)
    assert (code, "usage:" in out.lower()) == (0, True)
    assert said("-m", "sidecar", command, "--help", optimize=2) == plain


@pytest.fixture
async def optimized_agent(service: Serving, tmp_path: Path) -> AsyncIterator[AgentProcess]:
    """An agent as the image runs it, which has had its first answer."""
    settings: Settings = {"annotations": False, "imds_endpoint": service.url, "node_name": "node"}
    async with agent_with(tmp_path, settings, environment={"PYTHONOPTIMIZE": "2"}) as agent:
        await agent.until_ready()
        yield agent


async def test_helm_test(optimized_agent: AgentProcess) -> None:
    """What `helm test` prints are sentences, whether a check passes or not."""
    endpoint = {"ENDPOINT": optimized_agent.url, "NODE_NAME": "node"}
    done = await asyncio.to_thread(said, HELM_TEST, optimize=2, extra=endpoint)
    assert done == (0, "passed: the Service answers this pod for its own node (status ok)\n", "")
    code, out, _ = await asyncio.to_thread(
        said, HELM_TEST, optimize=2, extra={**endpoint, "NODE_NAME": "other"}
    )
    assert (code, out) == (
        1,
        "FAILED: the Service answers this pod for its own node: node answers a pod on other\n",
    )
