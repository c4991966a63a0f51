"""The API servers of the matrix: those of the test suites' Kubernetes and of its neighbours."""

import dataclasses
from pathlib import Path

from tools.binaries.programs import Program, cached_path, named, reported_version, wanted_version

_USUAL = named("kube-apiserver")
_BESIDE = (named("etcd"), named("kubectl"))


def _of_minor(minor: str) -> Program:
    return dataclasses.replace(_USUAL, suites=frozenset({"matrix"}), folder=f"kubernetes-{minor}")


API_SERVERS = (_of_minor("1.33"), _USUAL, _of_minor("1.35"), _of_minor("1.36"))
"""Oldest first; each is built like a program of the test suites."""


def built(program: Program) -> bool:
    """Whether the program is in the cache in its own version."""
    path = cached_path(program)
    return path.exists() and reported_version(program, path) == wanted_version(program)


def stand_in(program: Program, folder: Path) -> dict[str, str]:
    """The variable that makes the tests start this API server, with the usual etcd and kubectl.

    Links to all three are written into `folder`.
    """
    for each in (program, *_BESIDE):
        (folder / each.name).symlink_to(cached_path(each))
    return {"KUBEBUILDER_ASSETS": str(folder)}
