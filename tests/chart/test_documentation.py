"""Every value is described, has a schema, and stands in the README."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

import sidecar
from tests.chart.helm import CHART
from tools.pages.chart_readme import README, readme
from tools.pages.manifests import FOLDER

pytestmark = pytest.mark.chart


def leaves(values: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of values; a map that people fill, or that is one value, is a leaf."""
    for key, value in values.items():
        if isinstance(value, dict) and value and key != "resources":
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


def in_schema(schema: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of the schema's properties that are as deep as values go."""
    for key, member in schema["properties"].items():
        if "properties" in member and key not in {"resources", "updateStrategy"}:
            yield from in_schema(member, (*path, key))
        else:
            yield (*path, key)


VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def test_schema_has_every_value() -> None:
    """The schema knows exactly the values that values.yaml has, and Helm's own."""
    assert set(in_schema(SCHEMA)) == {*leaves(VALUES), ("global",)}


def test_schema_is_closed() -> None:
    """No part of the schema whose members are named takes others."""

    def closed(schema: Any) -> Iterator[bool]:
        if isinstance(schema, dict):
            if schema.get("type") == "object" and "properties" in schema:
                yield schema.get("additionalProperties") is False
            for member in schema.values():
                yield from closed(member)

    properties = {"type": "object", "additionalProperties": False, "properties": SCHEMA["properties"]}
    assert all([*closed(properties), *closed(SCHEMA["$defs"])])


@pytest.mark.usefixtures("helm_docs")
def test_readme_is_in_step() -> None:
    """The README is what helm-docs makes of values.yaml (`make chart-docs`)."""
    assert README.read_text() == readme()


def test_every_value_is_described() -> None:
    """Each value has a row in the README's table, and none has an empty description."""
    rows = re.findall(r"^\| (\S+) \| \S+ \| .* \| (.*) \|$", README.read_text(), re.MULTILINE)
    described = {name: text for name, text in rows if text.strip() and name != "Key"}
    assert described.keys() == {".".join(path) for path in leaves(VALUES)}


def test_versions() -> None:
    """The chart installs the version of the agent that it comes with."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == sidecar.__version__
    assert f"image: azure-lb-metadata:{sidecar.__version__}" in (FOLDER / "sidecar-direct.yaml").read_text()
