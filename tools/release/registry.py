"""A registry on loopback, whose contents are gone with it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import ServerProcess

READY_DEADLINE_S = 120.0


@contextmanager
def registry_running(program: Path, directory: Path) -> Iterator[str]:
    """Run go-containerregistry's registry and give its name, like ``localhost:43210``.

    All clients take that name for one to speak plain HTTP to, or can be told so.

    Raises:
        StartError: it did not come up.
    """
    log = directory / "registry.log"
    process = ServerProcess([str(program), "-port=0"], directory=directory, log=log)

    def port() -> str | None:
        found = re.search(r"serving on port (\d+)", log.read_text())
        return found[1] if found else None

    process.start(lambda: port() is not None, deadline_s=READY_DEADLINE_S)
    try:
        yield f"localhost:{port()}"
    finally:
        process.end()
