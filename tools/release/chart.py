"""The chart of a release: it says by itself where the image is."""

import re
import shutil
from pathlib import Path

from tools.release.programs import Tools
from tools.release.version import CHECKOUT, IMAGE

CHART = CHECKOUT / "charts" / IMAGE
_NOT_PUBLISHED = " None is published yet: build your own (`make image`) and name it here."


def located(text: str, repository: str) -> str:
    """The text of values.yaml, or of the chart's README, for an image that is published.

    Raises:
        ValueError: the text does not name the image's repository just once.
    """
    value = re.compile(
        rf"(?m)^(  repository: ){IMAGE}$|^(\| image\.repository \| string \| `\"){IMAGE}(?=\"` \|)"
    )
    changed, count = value.subn(lambda found: f"{found[1] or found[2]}{repository}", text)
    if count != 1:
        raise ValueError(f"the image's repository is named {count} times")
    return changed.replace(_NOT_PUBLISHED, "")


def prepare(repository: str, folder: Path) -> Path:
    """Copy the chart below `folder` with `repository` for the image's, and give the copy's path."""
    copy = folder / IMAGE
    shutil.copytree(CHART, copy)
    for name in ("values.yaml", "README.md"):
        path = copy / name
        path.write_text(located(path.read_text(), repository))
    return copy


def package(tools: Tools, chart: Path, folder: Path) -> Path:
    """Package a chart into `folder`.

    Raises:
        CommandError: as all that follow, when Helm fails.
    """
    tools.run("helm", "lint", "--strict", chart)
    said = tools.run("helm", "package", chart, f"--destination={folder}")
    return Path(said.rpartition(": ")[2].strip())


def push(tools: Tools, archive: Path, repository: str) -> str:
    """Push a packaged chart below `repository`, like ``localhost:5000/charts``, and give its digest there."""
    said = tools.run("helm", "push", archive, f"oci://{repository}", "--plain-http")
    found = re.search(r"^Digest: (sha256:[0-9a-f]{64})$", said, re.MULTILINE)
    if found is None:
        raise ValueError(f"helm push names no digest: {said}")
    return found[1]


def pull(tools: Tools, reference: str, version: str, folder: Path) -> Path:
    """Pull a chart like ``localhost:5000/charts/name`` into `folder`, and give the package's path."""
    folder.mkdir()
    words = (f"--version={version}", "--plain-http", f"--destination={folder}")
    tools.run("helm", "pull", f"oci://{reference}", *words)
    (archive,) = folder.iterdir()
    return archive
