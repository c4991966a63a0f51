"""The file publisher: the document as JSON, and ``KEY=value`` lines beside it."""

import errno
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sidecar.agent.publish_loop import PublishError, PublishResult
from sidecar.blocking import BlockedError, Blocking, read_regular
from sidecar.clock import Clock
from sidecar.core.addresses import IPAddress
from sidecar.core.annotations import canonical_document, is_node_name
from sidecar.core.document import canonical_bytes
from sidecar.core.egress import parse_shared_egress
from sidecar.core.instant import parse_rfc3339
from sidecar.core.parsing import MalformedError, parse_json
from sidecar.core.representation import load_balancer, print_variables, variables
from sidecar.core.state import DataOrigin, Found, Snapshot

FOUND_LIMIT = 1024 * 1024
"""Bytes of an earlier run's file that are read: thirty times those of 250 rules."""

_MODE = 0o644
"""Other containers of the pod read the files, under other users."""

_SETTING = "--file (AZURE_LB_METADATA_FILE)"
_ADVICE_FULL = f"make room on the volume of {_SETTING}: the old file stays until then"
_ADVICE_MOUNT = (
    f"the file of {_SETTING} is itself a mount, as subPath makes one: mount the folder that it is to stand"
    " in, without subPath"
)
_ADVICE = {
    errno.ENOSPC: _ADVICE_FULL,
    errno.EDQUOT: _ADVICE_FULL,
    errno.EBUSY: _ADVICE_MOUNT,
    errno.EXDEV: _ADVICE_MOUNT,
    errno.EISDIR: (
        f"{_SETTING} is to name a file, and there is a folder of that name: name a file in it, or remove it;"
        " a mount with subPath makes a folder where there is nothing"
    ),
    errno.ELOOP: f"{_SETTING} follows no link: name the file that it leads to, or remove the link",
    **dict.fromkeys(
        (errno.EINVAL, errno.ENXIO),
        f"{_SETTING} replaces nothing but files: name another path, or remove what is there",
    ),
    errno.ETIMEDOUT: f"see that the volume of {_SETTING} answers; nothing else waits for it",
    errno.EAGAIN: "see how many processes and threads the pod and the node may have (pids)",
}
_ADVICE_OTHERWISE = f"check {_SETTING}: the folder must exist and be writable"


@dataclass(slots=True, kw_only=True)
class FilePublisher:
    """Keeps ``path`` and ``path`` + ``.env`` equal to the state.

    A file is replaced as a whole and only when its bytes differ. Its modification time is the time
    of the answer that it was made from. Only files are replaced, never a link, a folder or a device.
    """

    path: Path
    node: str | None
    node_address: IPAddress | None
    stale_after: float
    """Seconds for which a restarted agent leaves what it found untouched, while it has no answer."""
    clock: Clock
    on_found: Callable[[Found], None] | None = None
    """Called once with what an earlier run wrote, before anything is written; then ``None``."""
    volume: Blocking = field(default_factory=Blocking)
    """Makes the calls that the volume answers."""
    name: str = "file"
    retry_within: float = 5.0

    async def turn(self, snapshot: Snapshot) -> PublishResult:
        """Restore what is there, the first time; then write what differs.

        Raises:
            PublishError: a file cannot be written, or the volume does not answer.
        """
        if self.on_found is not None:
            try:
                earlier = await self.volume.call(found, self.path, self.node)
            except BlockedError as error:
                raise self._failure("read", error) from error
            on_found, self.on_found = self.on_found, None
            if earlier is not None:
                on_found(earlier)
                # What was found is a new state, which is on its way here.
                return PublishResult(wrote=False, next_at=self.clock().mono, in_sync=False)
        state = snapshot.state
        if state.document is None or state.observed is None:
            return PublishResult(wrote=False, next_at=None)
        stale_deadline = state.started.mono + self.stale_after
        if state.source is DataOrigin.RESTORED and self.clock().mono < stale_deadline:
            return PublishResult(wrote=False, next_at=stale_deadline)
        node = state.node(self.node)
        lines = print_variables(variables(snapshot, node=node, node_address=self.node_address))
        contents = {
            self.path: load_balancer(snapshot, node=node) + b"\n",
            _variables_path(self.path): lines.encode(),
        }
        try:
            wrote = await self.volume.call(_make_equal, contents, state.observed.utc.timestamp())
        except OSError as error:
            raise self._failure("write", error) from error
        return PublishResult(wrote=wrote, next_at=None)

    def _failure(self, what: str, error: OSError) -> PublishError:
        # The name of a temporary file would not help.
        path = error.filename if error.filename == str(_variables_path(self.path)) else self.path
        return PublishError(
            f"cannot {what} {path} ({error.strerror or error})",
            advice=_ADVICE.get(error.errno or 0, _ADVICE_OTHERWISE),
        )


def _variables_path(path: Path) -> Path:
    return path.with_name(path.name + ".env")


def _make_equal(contents: dict[Path, bytes], modified: float) -> bool:
    """Replace the files whose bytes differ; returns whether there was one. Blocking."""
    replaced = False
    for path, content in contents.items():
        with suppress(FileNotFoundError):
            if read_regular(path, limit=len(content), follow=False) == content:
                continue
        replaced = True
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
        except OSError as error:
            temporary.unlink(missing_ok=True)
            error.filename = str(path)
            raise
    return replaced


def found(path: Path, node: str | None = None) -> Found | None:
    """Read the file that an earlier run wrote; anything inconsistent is discarded.

    So is the file of another node than ``node``, where that is known, since a volume may have moved; and a
    link, what is no regular file, and what is longer than ``FOUND_LIMIT``. Blocking.
    """
    try:
        content = read_regular(path, limit=FOUND_LIMIT, follow=False)
        value = parse_json(content) if len(content) <= FOUND_LIMIT else None
        # ValueError and OverflowError too: some file systems hold times that no calendar has.
        observed_at = datetime.fromtimestamp(path.lstat().st_mtime, tz=UTC)
    except (OSError, MalformedError, ValueError, OverflowError):
        return None
    if not isinstance(value, dict):
        return None
    named = value.get("node")
    if not (named is None or is_node_name(named)) or (node is not None and named != node):
        return None
    revision, changed_at = value.get("revision"), parse_rfc3339(value.get("changedAt"))
    if not isinstance(revision, str) or changed_at is None:
        return None
    text = canonical_bytes(value.get("loadbalancer")).decode("ascii")
    document = canonical_document(text, revision=revision)
    if document is None:
        return None
    return Found(
        revision=revision,
        changed_at=changed_at,
        document=document,
        observed_at=observed_at,
        node=named,
        egress_observed=parse_shared_egress(value.get("egress")).observed,
    )
