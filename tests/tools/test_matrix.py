"""The matrix: its page is that of the kept results, and no result says more than a run did."""

import os
from pathlib import Path

import pytest

from tools.matrix.page import DOCUMENT, markdown
from tools.matrix.parts import PARTS
from tools.matrix.programs import API_SERVERS, stand_in
from tools.matrix.pythons import interpreter
from tools.matrix.results import Counts, Result, counted, load, save

PASSED = Result("3.12.1", Counts(passed=12, skipped=1), 0, 90, "2026-01-31", "c0ffee")


def test_page_is_in_step() -> None:
    """docs/matrix.md is what the kept results say."""
    assert DOCUMENT.read_text() == markdown(load())


def test_parts() -> None:
    """The matrix is Python 3.11 to 3.14, Kubernetes 1.33 to 1.36, and both Helms."""
    assert [part.name for part in PARTS] == [
        *(f"Python 3.{minor}" for minor in range(11, 15)),
        *(f"Kubernetes 1.{minor}" for minor in range(33, 37)),
        "Helm 3",
        "Helm 4",
    ]


def test_kept_results_are_of_parts() -> None:
    """No result is kept of a part that is no more."""
    assert load().keys() <= {part.name for part in PARTS}


@pytest.mark.parametrize(
    ("said", "counts"),
    [
        ("...\n== 12 passed in 3.10s ==\n", Counts(passed=12)),
        ("1 failed, 12 passed, 2 skipped, 1 warning in 61.00s (0:01:01)\n", Counts(12, 1, 2)),
        ("==== 3 passed, 1 error in 0.5s ====\nafterwards\n", Counts(passed=3, failed=1)),
        ("12 passed in 1.0s\n2 passed, 2 errors in 1.0s\n", Counts(passed=2, failed=2)),
        ("no tests ran in 0.01s\n", Counts()),
        ("INTERNALERROR\n", Counts()),
        ("", Counts()),
    ],
)
def test_counts(said: str, counts: Counts) -> None:
    """The last line of pytest is what counts, and errors are failures."""
    assert counted(said) == counts


@pytest.mark.parametrize(
    ("counts", "exit_code", "passed"),
    [
        (Counts(passed=1), 0, True),
        (Counts(passed=9), 1, False),
        (Counts(skipped=9), 0, False),
        (Counts(), 5, False),
    ],
)
def test_passed(counts: Counts, exit_code: int, passed: bool) -> None:  # noqa: FBT001  # a parameter of the table
    """A part has passed when tests ran and the runner says that none failed."""
    assert Result("1", counts, exit_code, 1, "2026-01-31", "c0ffee").passed is passed


def test_page() -> None:
    """A row has its own day and commit; a part without a result is said not to have run."""
    failed = Result("1.36.3", Counts(10, 2, 0), 1, 600, "2026-02-01", "bad-dirty")
    text = markdown({"Python 3.12": PASSED, "Kubernetes 1.36": failed})
    assert "| Python 3.12.1 | unit suite | passed | 12 | 0 | 1 | 1.5 | 2026-01-31 | `c0ffee` |" in text
    assert (
        "| Kubernetes 1.36.3 | API-server suite | **failed** | 10 | 2 | 0 | 10.0 | 2026-02-01 | `bad-dirty` |"
        in text
    )
    assert "| Python 3.13 | unit suite | **not run** |" in text


def test_results_are_kept(tmp_path: Path) -> None:
    """Results are read again as they were written; without a file there are none."""
    path = tmp_path / "results.json"
    assert load(path) == {}
    save({"Python 3.12": PASSED}, path)
    assert load(path) == {"Python 3.12": PASSED}


def test_interpreter_must_be_of_the_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that calls itself Python 3.12 and is another one, or does not run, is not used."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.defpath}")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    fake = tmp_path / "python3.12"
    for script in ("echo 3.11.9", "echo 3.12.4; exit 1"):
        fake.write_text(f"#!/bin/sh\n{script}\n")
        fake.chmod(0o755)
        assert interpreter("3.12") is None
    own = tmp_path / "versions" / "3.12.7" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.write_text("#!/bin/sh\necho 3.12.7\n")
    own.chmod(0o755)
    assert interpreter("3.12") == (own, "3.12.7")


def test_stand_in(tmp_path: Path) -> None:
    """The tests are given another API server with the usual etcd and kubectl."""
    variables = stand_in(API_SERVERS[0], tmp_path)
    assert variables == {"KUBEBUILDER_ASSETS": str(tmp_path)}
    targets = {path.name: path.readlink().parent.name for path in tmp_path.iterdir()}
    assert targets.keys() == {"etcd", "kube-apiserver", "kubectl"}
    assert targets["kube-apiserver"].startswith("kube-apiserver-1.33.")
