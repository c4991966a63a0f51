"""What a release says of its artifacts: where they come from, what is in them, where the image is."""

import datetime as dt
import json
from pathlib import Path

import pytest
import yaml

from tools.release.bill import REQUIREMENTS, absent, components, pins
from tools.release.chart import CHART, located
from tools.release.provenance import Source, of_workflow, predicate

PYPI = "pkg:pypi/some@1"


def package(name: str, version: str, locator: str = PYPI) -> dict[str, object]:
    """A package of an SPDX document."""
    return {"name": name, "versionInfo": version, "externalRefs": [{"referenceLocator": locator}]}


def test_components() -> None:
    """Python packages are known by their canonical names; those of the system are not among them."""
    bill = {
        "packages": [
            package("Some_Thing", "1.2"),
            package("bash", "5.2", "pkg:deb/debian/bash@5.2"),
            {"name": "no-references", "versionInfo": "1"},
        ]
    }
    assert components(bill) == {"some-thing": "1.2"}


def test_pins() -> None:
    """Pins are read with their hashes and markers; one for another platform is not wanted."""
    text = (
        "# a comment\n"
        "PyYAML==6.0.3 \\\n    --hash=sha256:00 \\\n    --hash=sha256:01\n    # via x\n"
        "tzdata==2025.2 ; sys_platform == 'win32' \\\n    --hash=sha256:02\n"
        "idna==3.11 ; python_version >= '3.11' \\\n    --hash=sha256:03\n"
    )
    assert pins(text) == {"pyyaml": "6.0.3", "idna": "3.11"}


def test_own_pins_are_all_read() -> None:
    """Every requirement of the image is looked for in its bill."""
    assert {"aiohttp", "pydantic", "pydantic-core"} <= pins(REQUIREMENTS.read_text()).keys()


def test_absent(tmp_path: Path) -> None:
    """A requirement that is missing or has another version is named, as is the project itself."""
    wanted = pins(REQUIREMENTS.read_text())
    complete = [package(name, version) for name, version in wanted.items()]
    bill = tmp_path / "bill.json"
    bill.write_text(json.dumps({"packages": [*complete, package("azure-lb-metadata", "1.4.0")]}))
    assert absent(bill, version="1.4.0") == {}
    assert absent(bill, version="1.4.1") == {"azure-lb-metadata": "1.4.1"}
    others = [each for each in complete if each["name"] != "aiohttp"]
    bill.write_text(json.dumps({"packages": [*others, package("azure-lb-metadata", "1.4.0")]}))
    assert absent(bill, version="1.4.0") == {"aiohttp": wanted["aiohttp"]}


def test_released_chart_knows_its_image() -> None:
    """The chart of a release installs the published image without any value, and says nothing else anew."""
    values = (CHART / "values.yaml").read_text()
    released = yaml.safe_load(located(values, "registry.example.com/a/azure-lb-metadata"))
    assert released["image"]["repository"] == "registry.example.com/a/azure-lb-metadata"
    released["image"]["repository"] = "azure-lb-metadata"
    assert released == yaml.safe_load(values)
    readme = located((CHART / "README.md").read_text(), "registry.example.com/a/azure-lb-metadata")
    (row,) = (line for line in readme.splitlines() if line.startswith("| image.repository |"))
    assert row.endswith('| `"registry.example.com/a/azure-lb-metadata"` | Where the image is. |')


def test_chart_that_names_no_repository() -> None:
    """A chart in which the place cannot be found is refused rather than released with a wrong one."""
    with pytest.raises(ValueError, match="named 0 times"):
        located("image:\n  repository: other\n", "registry.example.com/a")


def test_provenance() -> None:
    """A provenance names the source by commit and tag, and gives its time in UTC."""
    zone = dt.timezone(dt.timedelta(hours=2))
    said = predicate(
        Source("https://example.com/a", "c0ffee", "v1.4.0"),
        "https://example.com/builder",
        invocation="https://example.com/runs/7",
        finished=dt.datetime(2026, 1, 31, 1, 5, 0, 999, tzinfo=zone),
    )
    (source,) = said["buildDefinition"]["resolvedDependencies"]
    assert source == {
        "uri": "git+https://example.com/a@refs/tags/v1.4.0",
        "digest": {"gitCommit": "c0ffee"},
    }
    assert said["buildDefinition"]["externalParameters"]["ref"] == "refs/tags/v1.4.0"
    assert said["runDetails"] == {
        "builder": {"id": "https://example.com/builder"},
        "metadata": {"invocationId": "https://example.com/runs/7", "finishedOn": "2026-01-30T23:05:00Z"},
    }


def test_provenance_of_a_workflow() -> None:
    """The workflow's statement names its own file as the builder, and its run."""
    variables = {
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "a/b",
        "GITHUB_RUN_ID": "12",
        "GITHUB_RUN_ATTEMPT": "3",
        "GITHUB_SHA": "c0ffee",
        "GITHUB_REF_NAME": "v1.4.0",
        "GITHUB_WORKFLOW_REF": "a/b/.github/workflows/release.yml@refs/tags/v1.4.0",
    }
    said = of_workflow(variables, dt.datetime(2026, 1, 31, tzinfo=dt.UTC))
    assert said["runDetails"] == {
        "builder": {"id": "https://github.com/a/b/.github/workflows/release.yml@refs/tags/v1.4.0"},
        "metadata": {
            "invocationId": "https://github.com/a/b/actions/runs/12/attempts/3",
            "finishedOn": "2026-01-31T00:00:00Z",
        },
    }
    (source,) = said["buildDefinition"]["resolvedDependencies"]
    assert source["uri"] == "git+https://github.com/a/b@refs/tags/v1.4.0"
