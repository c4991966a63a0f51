"""Which programs the tests run against, in which version, and where they are kept.

The versions stand in ``go.mod`` beside this file, or in that of a folder here for a program whose
modules would not agree with the others', and nowhere else. Needs the standard library only, so that
the system's Python can build the programs before anything is installed.
"""

import os
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

GO_MODULE = Path(__file__).resolve().parent
ENABLE_COMMAND = "make binaries"
CLUSTER_ENABLE_COMMAND = "make binaries-cluster"
VERSION_DEADLINE_S = 120.0


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

    suites: frozenset[str]
    """Who runs it: the test suites ``apiserver``, ``chart`` and ``e2e``, or ``release`` and ``workflows``."""

    folder: str = "."
    """Where its go.mod lies, as seen from `GO_MODULE`."""

    version_arguments: tuple[str, ...] = ("--version",)
    """What makes it tell its version; empty when nothing does, and Go's own note in the file is read."""

    cgo: bool = False
    version_stamps: tuple[str, ...] = ()
    """Stamped in at link time: ``package.variable=value``, with ``{version}`` and its parts filled in."""

    @property
    def directory(self) -> Path:
        """The folder of its go.mod."""
        return GO_MODULE / self.folder

    def linker_flags(self, version: str) -> str:
        """Flags for ``go build -ldflags``; `version` is like ``1.34.4``."""
        major, minor, _ = version.split(".", 2)
        stamps = [stamp.format(version=version, major=major, minor=minor) for stamp in self.version_stamps]
        return " ".join(["-s", "-w", *(f"-X {stamp}" for stamp in stamps)])


CONTROL_PLANE_SUITES = frozenset({"apiserver", "chart", "e2e"})

KUBERNETES_STAMPS = (
    "k8s.io/component-base/version.gitVersion=v{version}",
    "k8s.io/component-base/version.gitMajor={major}",
    "k8s.io/component-base/version.gitMinor={minor}",
)


def _kubernetes(
    name: str, *version_arguments: str, suites: Iterable[str] = ("e2e",), cgo: bool = False
) -> Program:
    return Program(
        name=name,
        package=f"k8s.io/kubernetes/cmd/{name}",
        module="k8s.io/kubernetes",
        suites=frozenset(suites),
        version_arguments=version_arguments or ("--version",),
        cgo=cgo,
        version_stamps=KUBERNETES_STAMPS,
    )


PROGRAMS = (
    Program(
        name="etcd",
        package="go.etcd.io/etcd/server/v3",
        module="go.etcd.io/etcd/server/v3",
        suites=CONTROL_PLANE_SUITES,
    ),
    _kubernetes("kube-apiserver", suites=CONTROL_PLANE_SUITES),
    _kubernetes("kubectl", "version", "--client", suites=CONTROL_PLANE_SUITES),
    _kubernetes("kube-controller-manager"),
    _kubernetes("kube-scheduler"),
    _kubernetes("kube-proxy"),
    _kubernetes("kubelet", cgo=True),  # it reads the machine's accounting through C
    Program(
        name="helm",
        package="helm.sh/helm/v4/cmd/helm",
        module="helm.sh/helm/v4",
        suites=frozenset({"chart", "e2e", "release"}),
        folder="helm",
        version_arguments=("version", "--short"),
        version_stamps=("helm.sh/helm/v4/internal/version.version=v{version}",),
    ),
    Program(
        name="helm3",
        package="helm.sh/helm/v3/cmd/helm",
        module="helm.sh/helm/v3",
        suites=frozenset({"chart", "e2e"}),
        folder="helm3",
        version_arguments=("version", "--short"),
        version_stamps=(
            "helm.sh/helm/v3/internal/version.version=v{version}",
            # What it takes a cluster for that it does not know: as released, the Kubernetes of its client-go.
            "helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1",
            "helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=31",
        ),
    ),
    Program(
        name="helm-docs",
        package="github.com/norwoodj/helm-docs/cmd/helm-docs",
        module="github.com/norwoodj/helm-docs",
        suites=frozenset({"chart"}),
        folder="helm-docs",
        version_stamps=("main.version={version}",),
    ),
    Program(
        name="coredns",
        package="github.com/coredns/coredns",
        module="github.com/coredns/coredns",
        suites=frozenset({"e2e"}),
        folder="coredns",
        version_arguments=("-version",),
    ),
    Program(
        name="registry",
        package="github.com/google/go-containerregistry/cmd/registry",
        module="github.com/google/go-containerregistry",
        suites=frozenset({"release"}),
        folder="registry",
        version_arguments=(),
    ),
    Program(
        name="cosign",
        package="github.com/sigstore/cosign/v2/cmd/cosign",
        module="github.com/sigstore/cosign/v2",
        suites=frozenset({"release"}),
        folder="cosign",
        version_arguments=("version",),
        version_stamps=("sigs.k8s.io/release-utils/version.gitVersion=v{version}",),
    ),
    Program(
        name="syft",
        package="github.com/anchore/syft/cmd/syft",
        module="github.com/anchore/syft",
        suites=frozenset({"release"}),
        folder="syft",
        version_stamps=("main.version={version}",),
    ),
    Program(
        name="actionlint",
        package="github.com/rhysd/actionlint/cmd/actionlint",
        module="github.com/rhysd/actionlint",
        suites=frozenset({"workflows"}),
        folder="actionlint",
        version_arguments=("-version",),
        version_stamps=("github.com/rhysd/actionlint.version={version}",),
    ),
)


def named(name: str) -> Program:
    """The program of that name; there must be one."""
    return next(program for program in PROGRAMS if program.name == name)


def of_suite(*suites: str) -> list[Program]:
    """The programs that any of `suites` runs."""
    return [program for program in PROGRAMS if program.suites.intersection(suites)]


def wanted_version(program: Program) -> str:
    """The version in the program's go.mod, without the leading ``v``.

    Raises:
        LookupError: go.mod does not require the program's module.
    """
    text = (program.directory / "go.mod").read_text()
    found = re.search(rf"^(?:require)?\s*{re.escape(program.module)} v(\S+)", text, re.MULTILINE)
    if found is None:
        raise LookupError(f"go.mod does not require {program.module}, the module of {program.name}")
    return found[1]


def reported_version(program: Program, path: Path) -> str | None:
    """The version the program at `path` tells, like ``1.34.4``; None when it tells none or cannot run."""
    if not program.version_arguments:
        return noted_version(program, path)
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


def noted_version(program: Program, path: Path) -> str | None:
    """The version that Go's linker has noted in the file at `path`; None without a note or a file.

    The note is what ``go version -m`` shows: https://pkg.go.dev/runtime/debug#BuildInfo.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return None
    found = re.search(rb"\nmod\t%b\tv(\S+)\t" % re.escape(program.module.encode()), content)
    return found[1].decode() if found else None


def cached_path(program: Program, environment: Mapping[str, str] = os.environ) -> Path:
    """Where the user's cache keeps the program: one folder for each name, version and platform."""
    cache = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = f"{program.name}-{wanted_version(program)}-{platform.system()}-{platform.machine()}".lower()
    return cache / "azure-lb-metadata" / "binaries" / key / program.name


def locate(name: str, environment: Mapping[str, str] = os.environ) -> Path:
    """The path of the program called `name`.

    ``KUBEBUILDER_ASSETS``, a folder of ready programs, goes before the cache for those it is known to
    hold (etcd, kube-apiserver, kubectl); what lies there is used in whatever version it is.

    Raises:
        BinariesMissingError: there is no such program, or the cached one has another version.
    """
    program = named(name)
    assets = environment.get("KUBEBUILDER_ASSETS")
    if assets and "apiserver" in program.suites:
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


def locate_all(suite: str, environment: Mapping[str, str] = os.environ) -> dict[str, Path]:
    """The paths, by name, of all programs that `suite` runs.

    Raises:
        BinariesMissingError: as `locate`.
    """
    return {program.name: locate(program.name, environment) for program in of_suite(suite)}
