"""The walks of ARCHITECTURE.md are those that the program takes."""

import re
from pathlib import Path

import pytest

from tools.walks import PROGRAM, walks

TEXT = (PROGRAM.parent / "docs" / "ARCHITECTURE.md").read_text().partition("## Four walks")[2]
PARAGRAPHS = [each for each in TEXT.partition("\n## ")[0].split("\n\n") if each.startswith("**")]
UNUSED = {"sockets.py", "problems.py", "probe_agent.py", "probe_cluster.py", "bundle.py"}
"""Named beside the walk: what listens, and where other answers, targets or arguments would lead."""


def named(paragraph: str) -> set[str]:
    """The files that a walk names, without their folders."""
    return {path.rpartition("/")[2] for path in re.findall(r"`([a-z_/]+\.py)`", paragraph)} - UNUSED


async def test_walks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file that a walk names is passed, and none is passed by name alone."""
    monkeypatch.setenv("AZURE_LB_METADATA_IMDS_ENDPOINT", "http://127.0.0.1:9")  # set to a simulator there
    taken = await walks(tmp_path)
    document, first, again, doctored, listed = taken.values()
    assert len(PARAGRAPHS) == 4
    for paragraph, walk in zip(PARAGRAPHS, (document, first, doctored, listed), strict=True):
        passed = {Path(code.co_filename).name for code in walk.code}
        assert named(paragraph) <= passed, paragraph[:40]
    assert len(again.code) < len(first.code)
    assert "files in" in str(document)
