"""The file publisher: the document as JSON, and ``KEY=value`` lines beside it."""

import asyncio
import errno
import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic_core import from_json

from sidecar.clock import Clock
from sidecar.core.addresses import IPAddress
from sidecar.core.annotations import canonical_document
from sidecar.core.document import canonical_bytes
from sidecar.core.environment import print_variables, variables
from sidecar.core.instant import parse_rfc3339
from sidecar.core.names import is_node_name
from sidecar.core.representation import load_balancer
from sidecar.core.state import Found, Snapshot, Source
from sidecar.publish import PublishError, Turn

__all__ = ["FilePublisher", "found"]

_MODE = 0o644
"""Other containers of the pod read the files, under other users."""

_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))
_ADVICE_FULL = "make room on the volume of --file (AZURE_LB_METADATA_FILE): the old file stays until then"
_ADVICE = "check --file (AZURE_LB_METADATA_FILE): the folder must exist and be writable"


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePublisher:
    """Keeps ``path`` and ``path`` + ``.env`` equal to the state.

    A file is replaced as a whole and only when its bytes differ. Its modification time is the time
    of the answer that it was made from.
    """

    path: Path
    node: str | None
    node_address: IPAddress | None
    stale_after: float
    """Seconds for which a restarted agent leaves what it found untouched, while it has no answer."""
    clock: Clock
    name: str = "file"
    retry_within: float = 5.0

    async def turn(self, snapshot: Snapshot) -> Turn:
        """Write what differs.

        Raises:
            PublishError: a file cannot be written.
        """
        state = snapshot.state
        if state.document is None or state.observed is None:
            return Turn(wrote=False, next_at=None)
        patient_until = state.started.mono + self.stale_after
        if state.source is Source.RESTORED and self.clock().mono < patient_until:
            return Turn(wrote=False, next_at=patient_until)
        node = state.node(self.node)
        lines = print_variables(variables(snapshot, node=node, node_address=self.node_address))
        contents = {
            self.path: load_balancer(snapshot, node=node) + b"\n",
            _variables_path(self.path): lines.encode(),
        }
        try:
            wrote = await asyncio.to_thread(_make_equal, contents, modified=state.observed.utc.timestamp())
        except OSError as error:
            raise PublishError(
                f"cannot write {self.path} ({error.strerror or error})",
                advice=_ADVICE_FULL if error.errno in _FULL else _ADVICE,
            ) from error
        return Turn(wrote=wrote, next_at=None)


def _variables_path(path: Path) -> Path:
    return path.with_name(path.name + ".env")


def _make_equal(contents: dict[Path, bytes], *, modified: float) -> bool:
    """Replace the files whose bytes differ; returns whether there was one."""
    differing = {path: content for path, content in contents.items() if _read(path) != content}
    for path, content in differing.items():
        _replace(path, content, modified=modified)
    return bool(differing)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _replace(path: Path, content: bytes, *, modified: float) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(_MODE)
        os.utime(temporary, (modified, modified))
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def found(path: Path, *, node: str | None = None) -> Found | None:
    """Take up the file that an earlier run wrote; anything that does not fit together is not believed.

    Nor is the file of another node than ``node``, where that is known, as a volume may have moved.
    """
    try:
        value = from_json(path.read_bytes())
        # ValueError and OverflowError too: some file systems hold times that no calendar has.
        observed_at = datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)
    except (OSError, ValueError, OverflowError):
        return None
    if not isinstance(value, dict):
        return None
    named = value.get("node")
    if not (named is None or is_node_name(named)) or (node is not None and named != node):
        return None
    revision, changed_at = value.get("revision"), parse_rfc3339(str(value.get("changedAt")))
    if not isinstance(revision, str) or changed_at is None:
        return None
    text = canonical_bytes(value.get("loadbalancer")).decode("ascii")
    document = canonical_document(text, revision=revision)
    if document is None:
        return None
    return Found(
        revision=revision, changed_at=changed_at, document=document, observed_at=observed_at, node=named
    )
