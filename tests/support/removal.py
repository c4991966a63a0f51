"""Folders that are removed with all in them, as root too, and never across a mount."""

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ALONE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--")
"""Before a command that mounts things: its mounts and processes end with it, killed or not."""


class MountedError(Exception):
    """A folder cannot be removed while something is mounted in it; the text says what."""


def mounted_below(folder: Path) -> list[Path]:
    """Where something is mounted, the folder itself or below, the deepest first; see proc(5), mountinfo."""
    root = folder.resolve()
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = {Path(re.sub(r"\\([0-7]{3})", _character, line.split()[4])) for line in lines}
    return sorted((point for point in points if point.is_relative_to(root)), reverse=True)


def _character(octal: re.Match[str]) -> str:
    """What stands there in place of a blank or a backslash."""
    return chr(int(octal[1], 8))


def remove_tree(folder: Path) -> None:
    """Remove a folder with all in it, and nothing of another file system; it may be gone already.

    Raises:
        MountedError: something is mounted there, and nothing was removed.
        subprocess.CalledProcessError: something in it cannot be removed.
    """
    if points := mounted_below(folder):
        places = ", ".join(map(str, points))
        raise MountedError(f"{folder} is left as it is: mounted is {places}; umount that, then remove it")
    subprocess.run(["rm", "--recursive", "--force", "--one-file-system", "--", folder], check=True)


@contextmanager
def temporary_folder(prefix: str, *, parent: Path | None = None) -> Iterator[Path]:
    """A new folder, removed after the block as `remove_tree` does; a failure of the block comes first."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent)).resolve()
    try:
        yield folder
    except BaseException as error:
        try:
            remove_tree(folder)
        except (MountedError, subprocess.CalledProcessError) as left:
            error.add_note(str(left))
        raise
    remove_tree(folder)
