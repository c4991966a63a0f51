"""What the image takes to pull, on a stand-in of its default base: ours and the base apart.

``make bench-image`` (as root). The official image comes from a registry. Where none can be reached, its
recipe can be followed all the same: Debian as `debian:bookworm-slim` is made (debuerreotype's lists of what
is left out and kept), and on it what the `3.13/slim-bookworm` of docker-library/python installs. All of it
lies in a temporary folder, but for the packages, which the end-to-end tests keep in the user's cache too.
"""

import gzip
import io
import json
import shutil
import sys
import tarfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.harness.images import Builder, cache_directory, debian
from tests.e2e.harness.system import run
from tests.support.removal import remove_tree, temporary_folder
from tools.matrix.pythons import interpreter

_MINOR = "3.13"
_LIBRARIES = ("libbz2-1.0", "libdb5.3", "libffi8", "libgdbm6", "liblzma5", "libncursesw6", "libreadline8",
              "libsqlite3-0", "libssl3", "libuuid1", "zlib1g")  # fmt: skip  # one list
"""The packages whose libraries a Python with all its modules but `tkinter` is linked with."""

_PACKAGES = ("ca-certificates", "netbase", "tzdata", *_LIBRARIES)
_LEFT_OUT = ("doc", "groff", "info", "linda", "lintian/overrides", "locale", "man")
_KEPT = ("doc/*/copyright", "locale/locale.alias")
_NOT_COPIED = ("site-packages", "test", "tests", "idle_test", "__pycache__", "libpython*.a")
_PARTS_SHOWN = 12
_ABOUT = "import sys, sysconfig; print(sys.base_prefix, sysconfig.get_config_var('CONFIG_ARGS'))"

_STAND_IN = """
The base stands in for python:{minor}-slim-bookworm, which was not pulled. Its Debian is debootstrap's, less
what debian:bookworm-slim leaves out. Its Python is this machine's {version} ({switches}), stripped;
the official one is built with --enable-optimizations and --with-lto."""


@dataclass(frozen=True)
class _Layer:
    compressed: int
    """Bytes of gzip at its default level, which Docker pushes."""

    pushed: int
    """Bytes that buildah pushes: it compresses in parallel, and less."""

    unpacked: int
    parts: Mapping[str, int]
    """What each part takes when it is compressed by itself: together about as much as the layer."""


def _slim(root: Path) -> None:
    share = root / "usr/share"
    kept = {path for pattern in _KEPT for path in share.glob(pattern)}
    for name in _LEFT_OUT:
        for path in sorted((share / name).rglob("*"), reverse=True):  # what is in a folder before the folder
            if not path.is_dir() or path.is_symlink():
                if path not in kept:
                    path.unlink()
            elif not any(path.iterdir()):
                path.rmdir()


def _add_python(root: Path, prefix: Path) -> None:
    local = root / "usr/local"
    ignored = shutil.ignore_patterns(*_NOT_COPIED)
    shutil.copytree(prefix, local, symlinks=True, ignore=ignored, dirs_exist_ok=True)
    programs = [local / "bin" / f"python{_MINOR}", *local.rglob("*.so"), *local.rglob("*.so.*")]
    run("strip", "--strip-all", *(path for path in programs if not path.is_symlink()))
    run("chroot", root, "ldconfig")
    run("chroot", root, "/usr/local/bin/python3", "-m", "ensurepip")
    for path in list(local.rglob("__pycache__")):
        remove_tree(path)


def _built(folder: Path, prefix: Path) -> Path:
    """The archive of the project's image, built in `folder` on a stand-in with the Python of `prefix`."""
    builder = Builder(folder)
    base, project = folder / "base.tar", folder / "project.tar"
    with debian(_PACKAGES) as root:
        _slim(root)
        _add_python(root, prefix)
        builder.save_base(root, base)
    builder.build(base, Builder(cache_directory()).packages(_MINOR), project)
    return project


def _read(archive: tarfile.TarFile, name: str | tarfile.TarInfo) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise FileNotFoundError(name)
    return file.read()


def _layers(image: Path) -> Iterator[_Layer]:
    with tarfile.open(image) as archive:
        index = json.loads(_read(archive, "index.json"))
        manifest = json.loads(_read(archive, _blob(index["manifests"][0])))
        for layer in manifest["layers"]:
            yield _measured(gzip.decompress(_read(archive, _blob(layer))), layer["size"])


def _blob(descriptor: dict[str, str]) -> str:
    return f"blobs/{descriptor['digest'].replace(':', '/')}"


def _measured(layer: bytes, pushed: int) -> _Layer:
    contents: defaultdict[str, bytearray] = defaultdict(bytearray)
    with tarfile.open(fileobj=io.BytesIO(layer)) as files:
        for file in files:
            if file.isfile():
                contents[_part(file.name)] += _read(files, file)
    parts = {part: len(zlib.compress(content)) for part, content in contents.items()}
    return _Layer(len(zlib.compress(layer)), pushed, sum(map(len, contents.values())), parts)


def _part(path: str) -> str:
    """The package that a file of our layer belongs to, or what else it is."""
    _, installed, rest = path.partition("/site-packages/")
    if not installed:
        return "bytecode of the standard library" if path.endswith(".pyc") else "the rest"
    return "metadata of the packages" if ".dist-info/" in rest else rest.partition("/")[0]


def _row(name: str, *layers: _Layer) -> str:
    sizes = ((layer.compressed, layer.pushed, layer.unpacked) for layer in layers)
    compressed, pushed, unpacked = (sum(column) / 1e6 for column in zip(*sizes, strict=True))
    return f"{name:<34}{compressed:>12.1f}{pushed:>12.1f}{unpacked:>10.1f}"


def main() -> None:
    """Build, measure, and print tables; say what stands in for what."""
    found = interpreter(_MINOR)
    if found is None:
        sys.exit(f"No Python {_MINOR} is installed, on PATH or of pyenv.")
    python, version = found
    prefix, *options = run(python, "-c", _ABOUT).replace("'", "").split()
    if prefix == "/usr":
        sys.exit(f"Python {_MINOR} is the system's; one in a folder of its own is needed, such as pyenv's.")
    with temporary_folder("azure-lb-metadata-image-") as folder:
        base, ours = _layers(_built(folder, Path(prefix)))
    print(f"{'MB':<34}{'compressed':>12}{'by buildah':>12}{'unpacked':>10}")
    print(_row("base, a stand-in", base), _row("ours", ours), _row("together", base, ours), sep="\n")
    print("\nthe biggest parts of ours, each compressed by itself")
    for part, size in sorted(ours.parts.items(), key=lambda item: -item[1])[:_PARTS_SHOWN]:
        print(f"{part:<34}{size / 1e6:>12.2f}")
    switches = " ".join(option for option in options if option.startswith(("--enable-", "--with-")))
    print(_STAND_IN.format(minor=_MINOR, version=version, switches=switches or "without options"))


if __name__ == "__main__":
    main()
