"""Which programs the tests run against, in which version, and where they are kept.

The versions stand in ``go.mod`` beside this file and nowhere else. Needs the standard library
only, so that the system's Python can build the programs before anything is installed.
"""

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "ENABLE_COMMAND",
    "GO_MODULE",
    "PROGRAMS",
    "BinariesMissingError",
    "Program",
    "cached_path",
    "locate",
    "reported_version",
    "wanted_version",
]

GO_MODULE = Path(__file__).resolve().parent
ENABLE_COMMAND = "make binaries"
VERSION_DEADLINE_S = 30.0
VERSION_PACKAGE = "k8s.io/component-base/version"


class BinariesMissingError(Exception):
    """A program is not there, or not in the version the tests want; the text says which."""


@dataclass(frozen=True)
class Program:
    """One program: the Go package it is built from and how it tells its version."""

    name: str
    package: str
    """Go import path of its main package."""

    module: str
    """The module in go.mod whose version is the program's."""

    version_arguments: tuple[str, ...] = ("--version",)
    cgo: bool = False
    kubernetes_version_flags: bool = False
    """Whether the version is stamped in at link time, as the Kubernetes release build does."""

    def linker_flags(self, version: str) -> str:
        """Flags for ``go build -ldflags``; `version` is like ``1.34.4``."""
        flags = ["-s", "-w"]
        if self.kubernetes_version_flags:
            major, minor, _ = version.split(".", 2)
            stamps = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor}
            flags += [f"-X {VERSION_PACKAGE}.{name}={value}" for name, value in stamps.items()]
        return " ".join(flags)


def _kubernetes(name: str, *version_arguments: str) -> Program:
    return Program(
        name=name,
        package=f"k8s.io/kubernetes/cmd/{name}",
        module="k8s.io/kubernetes",
        version_arguments=version_arguments or ("--version",),
        kubernetes_version_flags=True,
    )


PROGRAMS = (
    Program(name="etcd", package="go.etcd.io/etcd/server/v3", module="go.etcd.io/etcd/server/v3"),
    _kubernetes("kube-apiserver"),
    _kubernetes("kubectl", "version", "--client"),
)


def wanted_version(program: Program) -> str:
    """The version in go.mod, without the leading ``v``.

    Raises:
        LookupError: go.mod does not require the program's module.
    """
    text = (GO_MODULE / "go.mod").read_text()
    found = re.search(rf"^\s*{re.escape(program.module)} v(\S+)", text, re.MULTILINE)
    if found is None:
        raise LookupError(f"go.mod does not require {program.module}, the module of {program.name}")
    return found[1]


def reported_version(program: Program, path: Path) -> str | None:
    """The version the program at `path` tells, like ``1.34.4``; None when it tells none or cannot run."""
    try:
        answer = subprocess.run(
            [path, *program.version_arguments],
            capture_output=True,
            text=True,
            timeout=VERSION_DEADLINE_S,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\bv?(\d+\.\d+\.\d+\S*)", answer.stdout)
    return found[1] if found else None


def cached_path(program: Program, environment: Mapping[str, str] = os.environ) -> Path:
    """Where the user's cache keeps the program: one folder for each name, version and platform."""
    cache = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = f"{program.name}-{wanted_version(program)}-{platform.system()}-{platform.machine()}".lower()
    return cache / "azure-lb-metadata" / "binaries" / key / program.name


def locate(name: str, environment: Mapping[str, str] = os.environ) -> Path:
    """The path of the program called `name`.

    ``KUBEBUILDER_ASSETS``, a folder of ready programs, goes before the cache; what lies there is
    used in whatever version it is.

    Raises:
        BinariesMissingError: there is no such program, or the cached one has another version.
    """
    program = next(program for program in PROGRAMS if program.name == name)
    if assets := environment.get("KUBEBUILDER_ASSETS"):
        path = Path(assets) / name
        if not os.access(path, os.X_OK):
            raise BinariesMissingError(f"KUBEBUILDER_ASSETS is {assets}, which holds no program {name}")
        return path
    path = cached_path(program, environment)
    if not path.exists():
        raise BinariesMissingError(f"{name} {wanted_version(program)} is not built")
    if (version := reported_version(program, path)) != wanted_version(program):
        raise BinariesMissingError(f"{path} is version {version}, wanted is {wanted_version(program)}")
    return path
