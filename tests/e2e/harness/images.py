"""The images that pods of the cluster run, built without a Docker daemon and without a registry.

A base is made by debootstrap from Debian's archive and kept in the user's cache, as are the packages
that go into the project's image; the latter is built by the Dockerfile of this checkout. Images go to
the nodes as archives.
"""

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tests.e2e.harness.layout import CHECKOUT
from tests.e2e.harness.system import run
from tests.support.removal import ALONE, remove_tree, temporary_folder

PROJECT_REPOSITORY = "localhost/azure-lb-metadata"
PROJECT_TAG = "e2e"
PROJECT_IMAGE = f"{PROJECT_REPOSITORY}:{PROJECT_TAG}"
CLIENT_IMAGE = "localhost/azure-lb-metadata-base:bookworm"
"""Debian with Python and curl: what the project's image is built on, and what client pods run."""

PAUSE_IMAGE = "localhost/azure-lb-metadata-pause:e2e"

PACKAGES = ("ca-certificates", "curl", "python3", "python3-venv")
RELEASE = "bookworm"
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SOURCES = ("Dockerfile", ".dockerignore", "pyproject.toml", "README.md", "LICENSE", "requirements", "sidecar")
SLOW_DEADLINE_S = 900.0
BUILDAH_ENVIRONMENT: Mapping[str, str] = MappingProxyType({"BUILDAH_ISOLATION": "chroot", "STORAGE_OPTS": ""})


def cache_directory() -> Path:
    """Where images are kept from one run to the next."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "azure-lb-metadata" / "images"


def buildah(storage: Path) -> tuple[str, ...]:
    """The command, with a storage of its own so that the user's images are left alone.

    It is run with `BUILDAH_ENVIRONMENT`. What it mounts while it works ends with it.
    """
    return (*ALONE, "buildah", f"--root={storage}", f"--runroot={storage}/run", "--storage-driver=overlay")


def build_of_project(reference: str, packages: Path, **arguments: str) -> list[str]:
    """Buildah's words that build the project's image on `CLIENT_IMAGE`, without the network.

    `packages` is the folder of `Builder.packages`, `arguments` are more of the Dockerfile's.
    """
    given = {"BASE": CLIENT_IMAGE, "PIP_FIND_LINKS": "/packages", "PIP_NO_INDEX": "1", **arguments}
    return [
        *("bud", "--layers=false", "--pull-never"),
        *(f"--build-arg={name}={value}" for name, value in given.items()),
        f"--volume={packages}:/packages:ro",
        f"--tag={reference}",
        str(CHECKOUT),
    ]


def digest(parts: Iterable[bytes]) -> str:
    """A short name for what `parts` say."""
    joined = hashlib.sha256()
    for part in parts:
        joined.update(hashlib.sha256(part).digest())
    return joined.hexdigest()[:16]


def source_files() -> list[Path]:
    """Every file that goes into the project's image."""
    roots = [CHECKOUT / name for name in SOURCES]
    files = [path for root in roots for path in ([root] if root.is_file() else root.rglob("*"))]
    return sorted(path for path in files if path.is_file() and "__pycache__" not in path.parts)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A place to write to, which becomes `path` when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder("unfinished-", parent=path.parent) as folder:
        place = folder / path.name
        yield place
        place.replace(path)


@contextmanager
def debian(packages: Iterable[str]) -> Iterator[Path]:
    """A folder with Debian as small as debootstrap makes it and these packages, gone after the block.

    debootstrap mounts /proc and /sys in the folder: in a namespace of its own, for whoever removes it.

    Raises:
        CommandError: debootstrap failed; the text has its output.
    """
    with temporary_folder("azure-lb-metadata-base-") as folder:
        run(*ALONE, "debootstrap", "--variant=minbase", f"--include={','.join(packages)}", RELEASE, folder,
            deadline_s=SLOW_DEADLINE_S)  # fmt: skip  # one command
        remove_tree(folder / "var/cache/apt")
        remove_tree(folder / "var/lib/apt/lists")
        yield folder


@dataclass(frozen=True)
class Images:
    """The archives of all images, as files; made by `Images.provide`."""

    pause_program: Path
    archives: tuple[Path, ...]

    @classmethod
    def provide(cls, directory: Path | None = None) -> "Images":
        """Build what is not in the cache `directory` yet.

        Raises:
            CommandError: a build failed; the text has its output.
        """
        builder = Builder(directory or cache_directory())
        pause_program = builder.pause_program()
        base = builder.base()
        return cls(pause_program, (base, builder.pause(pause_program), builder.project(base)))


class Builder:
    """Builds images into one cache folder, each file of which is named after what it is made of."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def pause_program(self) -> Path:
        """The program that pods and nodes begin with, linked statically."""
        source = Path(__file__).with_name("pause.c")
        path = self.directory / f"pause-{digest([source.read_bytes()])}"
        if not path.exists():
            with written_whole(path) as place:
                run("gcc", "-static", "-O2", "-Wall", "-Wextra", "-Werror", "-o", place, source)
        return path

    def pause(self, program: Path) -> Path:
        """The image of a pod's first container."""
        archive = self.directory / f"{program.name}.tar"
        if not archive.exists():
            with self._container("scratch") as container:
                self._buildah("copy", container, str(program), "/pause")
                self._buildah("config", "--entrypoint", '["/pause"]', container)
                self._save(container, PAUSE_IMAGE, archive)
        return archive

    def base(self) -> Path:
        """Debian with a Python, as small as debootstrap makes it: a minute and a half when it is new."""
        recipe = digest(text.encode() for text in (RELEASE, *PACKAGES))
        archive = self.directory / f"base-{recipe}.tar"
        if not archive.exists():
            with debian(PACKAGES) as folder:
                self.save_base(folder, archive)
        return archive

    def save_base(self, folder: Path, archive: Path) -> None:
        """Write the image `CLIENT_IMAGE` of the files in `folder`."""
        with self._container("scratch") as container:
            self._buildah("copy", container, str(folder), "/")
            self._buildah("config", "--env", f"PATH={SEARCH_PATH}", container)
            self._save(container, CLIENT_IMAGE, archive)

    def project(self, base: Path) -> Path:
        """The project's image as its Dockerfile makes it, built on `base` without the network."""
        files = source_files()
        names = "\n".join(str(path.relative_to(CHECKOUT)) for path in files)
        version = digest([base.name.encode(), names.encode(), *(path.read_bytes() for path in files)])
        archive = self.directory / f"project-{version}.tar"
        if not archive.exists():
            self._forget("project-*.tar")
            self.build(base, self.packages(), archive)
        return archive

    def packages(self, python: str = "3.11") -> Path:
        """A folder with every package the image needs on a base with that Python.

        They are fetched by the pip of this environment.
        """
        lists = [CHECKOUT / "requirements" / name for name in ("pip.txt", "build.txt", "runtime.txt")]
        version = digest([python.encode(), *(path.read_bytes() for path in lists)])
        folder = self.directory / f"packages-{version}"
        if not folder.exists():
            with written_whole(folder) as place:
                for path in lists:
                    run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes",
                        "--only-binary=:all:", f"--python-version={python}", "--dest", place, "-r", path,
                        deadline_s=SLOW_DEADLINE_S)  # fmt: skip  # one command
        return folder

    def build(self, base: Path, packages: Path, archive: Path) -> None:
        """Write the project's image, as its Dockerfile makes it on the `CLIENT_IMAGE` in `base`."""
        self._buildah("rm", "--all")  # what an interrupted build has left
        self._buildah("pull", f"oci-archive:{base}")
        self._buildah(*build_of_project(PROJECT_IMAGE, packages))
        with written_whole(archive) as place:
            self._buildah("push", PROJECT_IMAGE, f"oci-archive:{place}:{PROJECT_IMAGE}")
        self._buildah("rmi", "--all", "--force")

    @contextmanager
    def _container(self, image: str) -> Iterator[str]:
        container = self._buildah("from", image).strip()
        try:
            yield container
        finally:
            self._buildah("rm", container)

    def _save(self, container: str, image: str, archive: Path) -> None:
        with written_whole(archive) as place:
            self._buildah("commit", "--quiet", container, f"oci-archive:{place}:{image}")

    def _buildah(self, *arguments: str) -> str:
        return run(
            *buildah(self.directory / "storage"),
            *arguments,
            environment=BUILDAH_ENVIRONMENT,
            deadline_s=SLOW_DEADLINE_S,
        )

    def _forget(self, pattern: str) -> None:
        for path in self.directory.glob(pattern):
            path.unlink()
