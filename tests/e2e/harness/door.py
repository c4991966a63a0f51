"""The process that lets the machine reach one address of a namespace; see `forward`."""

import sys

from tests.e2e.harness.layout import CHECKOUT, ROOT
from tests.e2e.harness.system import Daemon

READY_DEADLINE_S = 120.0


class Door(Daemon):
    """A port of the machine's loopback that leads to one address in a network namespace."""

    def __init__(self, label: str, namespace: str, *, host: str, port: int) -> None:
        """`host` and `port` are those in the namespace."""
        self._file = ROOT / f"{label}.port"
        program = (sys.executable, "-m", "tests.e2e.harness.forward")
        super().__init__(label, (*program, namespace, host, str(port), self._file), directory=CHECKOUT)

    def open(self) -> None:
        """Start to forward and wait until the port is known.

        Raises:
            StartError: it did not start.
        """
        self.start(lambda: self._file.exists() and bool(self._file.read_text()), deadline_s=READY_DEADLINE_S)

    @property
    def port(self) -> int:
        """The port on 127.0.0.1 of the machine."""
        return int(self._file.read_text())
