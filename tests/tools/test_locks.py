"""The pinned requirements hold on any day: with any pip that is promised, whatever the index has besides."""

import base64
import hashlib
import importlib.metadata
import os
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.program import CHECKOUT
from tests.support.requirements import leave_out

# A download and an installation of everything.
INSTALLED_S = 1500
pytestmark = pytest.mark.timeout(2 * INSTALLED_S)

LOCKS = ("pip", "build", "runtime", "dev")
OLDEST_PIP = (
    # Debian 12's, which runs on Python 3.11 alone.
    "pip==23.0.1 --hash=sha256:236bcb61156d76c4b8a05821b988c7b8c35bf0da28a4b614e8d6ab5212c25c6f"
    if sys.version_info < (3, 12)
    # What 3.12.0 brought along.
    else "pip==23.2.1 --hash=sha256:7ccf472345f20d35bdc9d1841ff5f313260c2c33fe417f48c30ac46cccabf5be"
)

PIN = re.compile(
    r"^(?P<name>[\w.-]+)(\[(?P<extras>[\w,.-]+)\])?==(?P<version>[^\s;]+)(?P<marker> ; [^\\]+)? \\$",
    re.MULTILINE,
)
NEWER = "9999"
WHEEL = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@dataclass(frozen=True)
class Pin:
    """A line of a lock."""

    name: str
    extras: frozenset[str]
    version: str
    marker: str


def pins(lock: str) -> list[Pin]:
    """The lines of ``requirements/LOCK.txt``."""
    text = (CHECKOUT / "requirements" / f"{lock}.txt").read_text()
    found = [
        Pin(
            canonicalize_name(line["name"]),
            frozenset((line["extras"] or "").split(",")) - {""},
            line["version"],
            line["marker"] or "",
        )
        for line in PIN.finditer(text)
    ]
    assert len(found) == text.count("==") - text.count(" == ")  # each pin, and what markers compare
    return found


def required(name: str) -> list[Requirement]:
    """What an installed package requires, whatever for; empty when it is not installed here."""
    try:
        return [Requirement(text) for text in importlib.metadata.requires(name) or []]
    except importlib.metadata.PackageNotFoundError:
        return []


@pytest.mark.parametrize("lock", LOCKS)
def test_extras_are_pinned(lock: str) -> None:
    """What a pinned package requires with an extra is pinned with that extra: older pips demand it."""
    extras = {pin.name: pin.extras for pin in pins(lock)}
    lacking = [
        f"{name} requires {needed}"
        for name, own in extras.items()
        for needed in required(name)
        if needed.extras - extras.get(canonicalize_name(needed.name), frozenset())
        and any(needed.marker is None or needed.marker.evaluate({"extra": extra}) for extra in ("", *own))
    ]
    assert lacking == []


def test_some_extra_is_pinned() -> None:
    """The test above has something to look at."""
    assert "toml" in {extra for pin in pins("dev") for extra in pin.extras}


# --- An index that has newer releases


@pytest.fixture(scope="session")
def oldest_pip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the oldest pip that is promised, from the package index; Python runs it as it is."""
    folder = tmp_path_factory.mktemp("pip")
    lock = folder / "pip.txt"
    lock.write_text(OLDEST_PIP)
    command = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes")
    done = subprocess.run(
        [*command, "--dest", str(folder), "--requirement", str(lock)], check=False, timeout=INSTALLED_S
    )
    if done.returncode:
        leave_out("the oldest pip cannot be fetched from the package index")
    (wheel,) = folder.glob("*.whl")
    return wheel


def write_wheel(folder: Path, name: str, version: str) -> str:
    """Write an empty package with the requirements of the real one, and give its digest."""
    stem = f"{name.replace('-', '_')}-{version}"
    needs = importlib.metadata.requires(name) if required(name) else []
    extras = importlib.metadata.metadata(name).get_all("Provides-Extra") or [] if needs else []
    metadata = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        *(f"Provides-Extra: {extra}" for extra in extras),
        *(f"Requires-Dist: {need}" for need in needs or []),
    ]
    files = {
        f"{stem}.dist-info/METADATA": "\n".join(metadata) + "\n",
        f"{stem}.dist-info/WHEEL": WHEEL,
    }
    record = "".join(f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in files.items())
    path = folder / name / f"{stem}-py3-none-any.whl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**files, f"{stem}.dist-info/RECORD": record}.items():
            archive.writestr(file, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@dataclass(frozen=True)
class Index:
    """A package index on loopback with all that the locks pin, and newer releases of it."""

    url: str
    digests: dict[tuple[str, str], str]

    def lock(self, name: str, path: Path, *, extras: bool = True) -> Path:
        """The lock as it stands, for the packages of this index; without its extras if so wanted."""
        lines = [
            f"{pin.name}[{','.join(sorted(pin.extras)) if extras else ''}]=={pin.version}"
            f"{pin.marker} --hash=sha256:{self.digests[pin.name, pin.version]}\n"
            for pin in pins(name)
        ]
        path.write_text("".join(lines))
        return path


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """The index, which lists the files of a folder for each package."""
    folder = tmp_path_factory.mktemp("index")
    pinned = {(pin.name, pin.version) for lock in LOCKS for pin in pins(lock)}
    digests = {(name, version): write_wheel(folder, name, version) for name, version in pinned}
    for name, _ in pinned:
        write_wheel(folder, name, NEWER)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Index(f"http://127.0.0.1:{server.server_port}/", digests)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def install(pip: Path, index: Index, target: Path, *locks: Path) -> subprocess.CompletedProcess[str]:
    """Install locks as `make` does, with that pip and from that index alone."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    arguments = [f"--requirement={lock}" for lock in locks]
    options = ("--quiet", "--no-cache-dir", "--no-compile", "--require-hashes", f"--index-url={index.url}")
    return subprocess.run(
        [
            sys.executable,
            str(pip / "pip"),
            "--isolated",
            "install",
            *options,
            f"--target={target}",
            *arguments,
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=INSTALLED_S,
        env={**environment, "PIP_CONFIG_FILE": os.devnull, "NO_PROXY": "127.0.0.1"},
    )


@pytest.mark.parametrize("locks", [("pip",), ("build", "runtime"), ("dev",)], ids="+".join)
def test_installs_beside_newer_releases(
    oldest_pip: Path, index: Index, tmp_path: Path, locks: tuple[str, ...]
) -> None:
    """The oldest pip installs what is pinned, and nothing newer, though the index has it."""
    files = [index.lock(lock, tmp_path / f"{lock}.txt") for lock in locks]
    done = install(oldest_pip, index, tmp_path / "target", *files)
    assert done.returncode == 0, done.stderr
    installed = {path.name.removesuffix(".dist-info") for path in (tmp_path / "target").glob("*.dist-info")}
    assert installed
    assert not [name for name in installed if name.endswith(NEWER)]


def test_lock_without_extras_is_refused(oldest_pip: Path, index: Index, tmp_path: Path) -> None:
    """Without its extras that pip refuses the developers' lock: the test above could fail."""
    done = install(
        oldest_pip, index, tmp_path / "target", index.lock("dev", tmp_path / "dev.txt", extras=False)
    )
    assert done.returncode != 0
    assert "must have their versions pinned" in done.stderr
