"""The shape of the code: who may know whom, and what an import brings along."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import DEADLINE_S

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "sidecar").rglob("*.py"))
CONTRACTS: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"][
    "importlinter"
]["contracts"]


def name_of(path: Path) -> str:
    """The dotted name of a module."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def loaded_by(statement: str) -> set[str]:
    """The modules that a new interpreter has loaded after a statement and had not before."""
    program = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    output = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    return set(output.stdout.split())


def within(names: set[str], package: str) -> set[str]:
    """Those of the names that are the package or in it."""
    return {name for name in names if name == package or name.startswith(f"{package}.")}


def test_knowledge_runs_one_way() -> None:
    """Every import contract of pyproject.toml is kept."""
    finished = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_contracts_name_every_part_of_the_agent() -> None:
    """Whatever stands directly under `sidecar` is in a layer; the simulator has a contract of its own."""
    (layers,) = [contract["layers"] for contract in CONTRACTS if contract["type"] == "layers"]
    layered = {name.strip() for layer in layers for name in layer.split("|")}
    parts = {".".join(name_of(path).split(".")[:2]) for path in MODULES} - {"sidecar"}
    assert parts - layered == {"sidecar.simulator"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_says_what_it_is(path: Path) -> None:
    """Every module begins with a docstring whose first line is a sentence."""
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring is not None
    assert docstring.splitlines()[0].endswith((".", ":"))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_exported_names_exist(path: Path) -> None:
    """What a module lists as its public names is defined in it and listed once."""
    tree = ast.parse(path.read_text())
    exported = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    for names in exported:
        assert len(set(names)) == len(names)
        assert set(names) <= {name for node in tree.body for name in _defined(node)}


def _defined(node: ast.stmt) -> set[str]:
    """The names that a statement at the top of a module binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in node.names}
    return {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path.is_relative_to(ROOT / "sidecar" / "core")], ids=name_of
)
def test_core_module_loads_nothing_that_acts(path: Path) -> None:
    """No module of the core brings an event loop, a client or the rest of the agent into a process."""
    loaded = loaded_by(f"import {name_of(path)}")
    for package in ("asyncio", "aiohttp", "kubernetes", "prometheus_client", "logging", "ssl"):
        assert within(loaded, package) == set()
    ours = within(loaded, "sidecar")
    assert ours <= within(ours, "sidecar.core") | {"sidecar", "sidecar.errors"}


def test_bare_core_loads_nothing_else() -> None:
    """The core as a package, and the package itself, load no module of ours beyond themselves."""
    assert within(loaded_by("import sidecar"), "sidecar") == {"sidecar"}
    assert within(loaded_by("import sidecar.core"), "sidecar") == {"sidecar", "sidecar.core"}


def test_document_loads_neither_parser_nor_state() -> None:
    """Values stand alone: the document needs addresses and nothing else of ours."""
    loaded = loaded_by("import sidecar.core.document")
    assert within(loaded, "sidecar") == {
        "sidecar",
        "sidecar.core",
        "sidecar.core.addresses",
        "sidecar.core.document",
    }
    assert within(loaded, "pydantic_core") == set()


def test_parsing_needs_the_json_parser_alone() -> None:
    """The core takes the JSON parser of pydantic without pydantic."""
    loaded = loaded_by("import sidecar.core.parsing")
    assert within(loaded, "pydantic_core")
    assert within(loaded, "pydantic") == set()


def test_agent_in_its_pod_loads_no_kubernetes_library() -> None:
    """Annotating a Node takes nothing of the Kubernetes library, nor what it brings along."""
    loaded = loaded_by(
        "import sidecar.agent, sidecar.kube, sidecar.agent.publish_node, sidecar.agent.publish_events"
    )
    for package in ("kubernetes", "requests", "urllib3", "oauthlib", "yaml"):
        assert within(loaded, package) == set()
