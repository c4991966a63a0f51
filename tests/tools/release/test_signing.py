"""A rehearsal notices when a forgery is taken."""

import pytest

from tests.e2e.harness.system import CommandError
from tools.release.signing import NotRefusedError, must_fail


def test_forgery_that_is_taken() -> None:
    """A verification that passes where it must fail ends the rehearsal, with the name of what was taken."""
    with pytest.raises(NotRefusedError, match=r"forged\.whl was not refused"):
        must_fail(lambda: None, "forged.whl")


def test_forgery_that_is_refused() -> None:
    """A verification that fails is as it must be; an error of another kind is no refusal."""

    def refuse() -> None:
        raise CommandError("cosign verify: exit code 1")

    def break_down() -> None:
        raise OSError("no cosign")

    must_fail(refuse, "forged.whl")
    with pytest.raises(OSError, match="no cosign"):
        must_fail(break_down, "forged.whl")
