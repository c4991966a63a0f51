"""The workflows keep rules that need no tool to see: pinned actions, few rights, no pasting into a shell."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tools.release.workflows import WORKFLOWS

TEXTS = {path.name: path.read_text() for path in sorted(WORKFLOWS.glob("*.yml"))}
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
LOCAL = re.compile(r"\./\.github/workflows/\S+\.yml( # zizmor: ignore\[self-repository\])?")
RIGHTS_OF_RELEASE = {"contents": "write", "id-token": "write", "packages": "write"}


def jobs(name: str) -> dict[str, dict[str, Any]]:
    """The jobs of a workflow."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(TEXTS[name])["jobs"]
    return found


def steps(name: str) -> Iterator[dict[str, Any]]:
    """Every step of a workflow."""
    for job in jobs(name).values():
        yield from job.get("steps", ())


@pytest.mark.parametrize("name", TEXTS)
def test_actions_are_pinned(name: str) -> None:
    """An action is named by its whole commit, with the version in words beside it."""
    used = re.findall(r"^\s*(?:- )?uses: (.*)$", TEXTS[name], re.MULTILINE)
    assert used
    assert [each for each in used if not PINNED.fullmatch(each) and not LOCAL.fullmatch(each)] == []


@pytest.mark.parametrize("name", TEXTS)
def test_nothing_is_pasted_into_a_shell(name: str) -> None:
    """What others can choose, like the name of a branch, reaches a shell as a variable only."""
    assert [step for step in steps(name) if "${{" in step.get("run", "")] == []


@pytest.mark.parametrize("name", TEXTS)
def test_no_rights_but_those_of_a_job(name: str) -> None:
    """A workflow has no rights; each of its jobs names its own, and only publishing may write."""
    assert yaml.safe_load(TEXTS[name])["permissions"] == {}
    for job, content in jobs(name).items():
        wanted = RIGHTS_OF_RELEASE if job == "publish" else {"contents": "read"}
        assert content["permissions"] == wanted


@pytest.mark.parametrize("name", TEXTS)
def test_checkout_leaves_no_token(name: str) -> None:
    """No step after the checkout finds its token in the folder."""
    checkouts = [step for step in steps(name) if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_release_waits_for_all_tests() -> None:
    """Nothing is published that .ci/run has not passed."""
    assert jobs("release.yml")["publish"]["needs"] == "ci"
    assert jobs("release.yml")["ci"]["uses"] == "./.github/workflows/ci.yml"
    assert any(step.get("run", "").endswith(" .ci/run") for step in steps("ci.yml"))
