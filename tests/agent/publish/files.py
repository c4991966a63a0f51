"""A file publisher in a folder of the test's own, and what it left there."""

from pathlib import Path
from typing import Any

from sidecar.agent.publish_file import FilePublisher
from sidecar.core.document import Document
from sidecar.core.state import Snapshot, State
from tests.core.examples import public
from tests.support.states import EPOCH, POLICY, FakeClock, later

LARGE = Document.of(public_ip_addresses=[public(f"20.1.2.{last}") for last in range(100)])


def publisher(path: Path, **settings: Any) -> FilePublisher:
    """A publisher whose clock stands at `EPOCH` unless told otherwise."""
    defaults: dict[str, Any] = {
        "node": "node-1",
        "node_address": None,
        "stale_after": POLICY.stale_after,
        "clock": FakeClock(),
    }
    return FilePublisher(path=path, **defaults | settings)


def saying(document: Document, *, seconds: float = 0) -> Snapshot:
    """The snapshot after one answer, `seconds` after the start."""
    now = later(seconds)
    state = State(started=EPOCH, document=document, observed=now, changed_at=now.utc)
    return Snapshot.of(state, now, POLICY)


def variables_path(path: Path) -> Path:
    """Where the variables go."""
    return path.parent / f"{path.name}.env"


def content(path: Path) -> bytes:
    """All that a file holds."""
    return path.read_bytes()


def modified(path: Path) -> float:
    """When a file says that it was changed."""
    return path.stat().st_mtime


def make_folder(path: Path) -> None:
    """Make a folder."""
    path.mkdir()


def names(folder: Path) -> set[str]:
    """All that stands in a folder, hidden or not."""
    return {entry.name for entry in folder.iterdir()}
