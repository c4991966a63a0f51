"""The parts of the matrix: what is tried, and by which tests."""

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tools.binaries import build
from tools.binaries.programs import Program, locate, named, wanted_version
from tools.matrix.programs import API_SERVERS, built, stand_in
from tools.matrix.pythons import MINORS, environment, interpreter
from tools.suites import SUITES

Runner = Callable[[Sequence[str], Mapping[str, str]], tuple[int, str]]
"""Runs a command with more environment variables; gives its exit code and what it said."""


class NotHereError(Exception):
    """What would be tried is not installed; the text says what to do."""


@dataclass(frozen=True)
class Trial:
    """A run of tests: of what, and what it said."""

    version: str
    exit_code: int
    output: str


@dataclass(frozen=True)
class Part:
    """One row of the matrix."""

    name: str
    tests: str
    """The tests in words."""

    run: Callable[[Runner, bool], Trial]
    """Run them; told whether what is missing may be built first."""


def _suite(name: str) -> tuple[str, ...]:
    """The arguments of Python that run a suite."""
    suite = next(suite for suite in SUITES if suite.name == name)
    return suite.command[1:]


def _python(minor: str, run: Runner, may_build: bool) -> Trial:  # noqa: FBT001  # the form of `Part.run`
    found = interpreter(minor)
    if found is None:
        raise NotHereError(f"no Python {minor} is installed")
    path, version = found
    if not may_build:
        raise NotHereError(f"an environment for Python {version} would be built")
    code, output = run((str(environment(path, version)), *_suite("unit")), {})
    return Trial(version, code, output)


def _api_server(program: Program, run: Runner, may_build: bool) -> Trial:  # noqa: FBT001  # the same
    version = wanted_version(program)
    if not built(program):
        if not may_build:
            raise NotHereError(f"kube-apiserver {version} is not built")
        build.provide(program)
    with tempfile.TemporaryDirectory(prefix="azure-lb-metadata-matrix-") as folder:
        code, output = run((sys.executable, *_suite("apiserver")), stand_in(program, Path(folder)))
    return Trial(version, code, output)


def _helm(name: str, run: Runner, may_build: bool) -> Trial:  # noqa: ARG001, FBT001  # the same
    tests = (
        ("tests/chart/test_helm3.py",)
        if name == "helm3"
        else ("tests/chart", "--ignore=tests/chart/test_helm3.py")
    )
    locate(name)
    code, output = run((sys.executable, "-m", "pytest", "-m", "chart and not prometheus", *tests), {})
    return Trial(wanted_version(named(name)), code, output)


PARTS = (
    *(Part(f"Python {minor}", "unit suite", partial(_python, minor)) for minor in MINORS),
    *(
        Part(
            f"Kubernetes {wanted_version(program).rpartition('.')[0]}",
            "API-server suite",
            partial(_api_server, program),
        )
        for program in API_SERVERS
    ),
    Part("Helm 3", "the same objects and refusals as Helm 4", partial(_helm, "helm3")),
    Part("Helm 4", "chart suite", partial(_helm, "helm")),
)
