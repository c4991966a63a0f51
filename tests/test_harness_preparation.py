"""What is prepared for a whole session and fails is reported once."""

import re
import subprocess
import sys
from pathlib import Path

from tests.support.program import CHECKOUT
from tests.support.waiting import DEADLINE_S

TESTS = """
import pytest

@pytest.fixture(scope="session")
def cluster():
    raise RuntimeError("no cluster today")

@pytest.fixture(scope="session")
def release(cluster):
    return cluster

@pytest.mark.parametrize("number", range(5))
def test_that_needs_it(cluster, number):
    pass

def test_that_needs_what_needs_it(release):
    pass

def test_that_does_not():
    pass

@pytest.fixture
def own():
    raise RuntimeError("a fixture of the test")

@pytest.mark.parametrize("number", range(2))
def test_of_its_own(own, number):
    pass
"""


def test_failed_preparation_is_one_error(tmp_path: Path) -> None:
    """The first test has the reason, the others are one line; what fails for each test is told for each."""
    (tmp_path / "test_it.py").write_text(TESTS)
    options = ("-q", "-rs", "-p", "no:cacheprovider", "-p", "tests.support.preparation", "-c", "/dev/null")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir", tmp_path, tmp_path],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 1
    assert done.stdout.count("RuntimeError: no cluster today") == 1
    assert done.stdout.count("a fixture of the test") >= 2
    why = "cluster could not be prepared: see the error of test_it.py::test_that_needs_it[0]"
    (skipped,) = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert skipped.startswith("SKIPPED [5]")
    assert skipped.endswith(f": {why}")
    # Without the project's settings, warnings of plug-ins are counted too.
    assert re.match(r"1 passed, 5 skipped, (\d+ warnings?, )?3 errors ", done.stdout.splitlines()[-1])
