"""Bills of materials: made by syft, and held against the pinned requirements."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.release.programs import Tools
from tools.release.version import CHECKOUT

REQUIREMENTS = CHECKOUT / "requirements" / "runtime.txt"


def of_image(tools: Tools, artifact: str, name: str) -> Path:
    """Write the bill of an image in a registry as SPDX and CycloneDX, and give the path of the former.

    Raises:
        CommandError: syft failed.
    """
    return _written(tools, f"registry:{artifact}", name)


def of_wheel(tools: Tools, wheel: Path) -> Path:
    """Write the bill of a wheel and of what it is released to run with, and give its path.

    Raises:
        CommandError: syft failed.
    """
    folder = tools.directory / "unpacked-wheel"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    (folder / "requirements.txt").write_text(REQUIREMENTS.read_text())
    return _written(tools, f"dir:{folder}", wheel.name)


def _written(tools: Tools, source: str, name: str) -> Path:
    spdx, cyclone = (tools.directory / f"{name}.{form}.json" for form in ("spdx", "cyclonedx"))
    tools.run("syft", "scan", "--quiet", source, "-o", f"spdx-json={spdx}", "-o", f"cyclonedx-json={cyclone}")
    return spdx


def components(bill: Mapping[str, Any]) -> dict[str, str]:
    """Version by canonical name of the Python packages in a bill of the form SPDX 2.3."""
    return {
        canonicalize_name(package["name"]): package["versionInfo"]
        for package in bill["packages"]
        if any(
            reference["referenceLocator"].startswith("pkg:pypi/")
            for reference in package.get("externalRefs", ())
        )
    }


def pins(text: str) -> dict[str, str]:
    """Version by canonical name of the requirements in `text` that are for this platform."""
    lines = [line.rstrip(" \\") for line in text.splitlines() if line[:1].isalnum()]
    wanted = [requirement for line in lines if _applies(requirement := Requirement(line))]
    return {canonicalize_name(each.name): str(each.specifier).removeprefix("==") for each in wanted}


def _applies(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate()


def absent(spdx: Path, *, version: str) -> dict[str, str]:
    """What a bill should name and does not, by name: this project at `version`, and each requirement."""
    named = components(json.loads(spdx.read_text()))
    wanted = {"azure-lb-metadata": version, **pins(REQUIREMENTS.read_text())}
    return {name: number for name, number in wanted.items() if named.get(canonicalize_name(name)) != number}
