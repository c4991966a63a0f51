"""The harness removes its folders as root, and never what is mounted in them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.harness import images
from tests.e2e.harness.system import CommandError
from tests.support.processes import poll_until
from tests.support.program import CHECKOUT
from tests.support.removal import ALONE, mounted_below, remove_tree, temporary_folder
from tests.support.requirements import leave_out
from tests.support.waiting import DEADLINE_S

LEFT_BEHIND = """
import subprocess, sys
from pathlib import Path
from tests.support.removal import MountedError, remove_tree

folder, elsewhere = Path(sys.argv[1]), Path(sys.argv[2])
for kind, below in ((("-t", "tmpfs", "none"), folder / "a b"), (("--bind", elsewhere), folder / "bound")):
    below.mkdir(parents=True)
    subprocess.run(["mount", *kind, below], check=True)
    (below / "precious").write_text("not ours")
    try:
        remove_tree(folder)
    except MountedError as error:
        assert str(below) in str(error), error
    else:
        raise SystemExit("it was removed")
    assert (below / "precious").read_text() == "not ours"
    subprocess.run(["umount", below], check=True)
remove_tree(folder)
assert not folder.exists()
assert (elsewhere / "precious").read_text() == "not ours"
"""

DEBOOTSTRAP = """#!/bin/sh
for last; do :; done
mkdir -p "$last/proc"
mount -t tmpfs none "$last/proc"
echo precious > "$last/proc/file"
echo "$last" > "$TOLD"
eval "$ENDING"
"""


@pytest.fixture
def may_mount() -> None:
    """Leave the test out where nothing may be mounted."""
    if os.geteuid() != 0 or subprocess.run([*ALONE, "true"], check=False, capture_output=True).returncode:
        leave_out("mounting needs root and namespaces")


def test_folder_goes_with_all_in_it(tmp_path: Path) -> None:
    """A folder is removed with what it holds, links not followed; removing it again is no error."""
    kept = tmp_path / "kept"
    kept.mkdir()
    with temporary_folder("gone-", parent=tmp_path) as folder:
        (folder / "deep" / "deeper").mkdir(parents=True)
        (folder / "deep" / "link").symlink_to(kept)
    assert list(tmp_path.iterdir()) == [kept]
    remove_tree(folder)


@pytest.mark.usefixtures("may_mount")
def test_mount_left_behind_is_not_entered(tmp_path: Path) -> None:
    """While something is mounted below a folder, of another file system or the same, nothing is removed."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    subprocess.run(
        [*ALONE, sys.executable, "-c", LEFT_BEHIND, tmp_path / "folder", elsewhere],
        cwd=CHECKOUT,
        check=True,
        timeout=DEADLINE_S,
    )


@pytest.fixture
def debootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A debootstrap that mounts something in its folder, writes its name to ``told``, and fails or hangs."""
    program = tmp_path / "debootstrap"
    program.write_text(DEBOOTSTRAP)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    monkeypatch.setenv("ENDING", "exit 3")
    return program


@pytest.mark.usefixtures("may_mount", "debootstrap")
def test_debootstrap_fails(tmp_path: Path) -> None:
    """One that fails after it has mounted something leaves neither mount nor folder."""
    with pytest.raises(CommandError, match="exit code 3"), images.debian(["curl"]):
        pass
    folder = Path((tmp_path / "told").read_text().strip())
    assert mounted_below(folder) == []
    assert not folder.exists()


@pytest.mark.usefixtures("may_mount")
def test_debootstrap_is_killed(tmp_path: Path, debootstrap: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is killed, as after its deadline, leaves no mount either, and no process."""
    seconds = f"{3600 + os.getpid() / 1e8:.8f}"  # known among all that sleeps here
    monkeypatch.setenv("ENDING", f"exec sleep {seconds}")
    folder = tmp_path / "folder"
    process = subprocess.Popen([*ALONE, debootstrap, folder])
    assert poll_until((tmp_path / "told").exists, deadline_s=DEADLINE_S)
    assert mounted_below(folder) == []  # here, that is
    process.kill()
    process.wait()
    remove_tree(folder)

    def is_left() -> bool:
        listing = subprocess.run(["ps", "-eo", "args"], check=True, capture_output=True, text=True).stdout
        return f"sleep {seconds}" in listing

    assert poll_until(lambda: not is_left(), deadline_s=DEADLINE_S)
