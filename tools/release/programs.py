"""The programs of a release, run in a folder of their own and cut off from everything but loopback."""

from collections.abc import Mapping
from pathlib import Path

from tests.e2e.harness.system import run
from tools.binaries.programs import locate_all

DEADLINE_S = 300.0
NOBODY = "http://127.0.0.1:9"
"""Port 9 (discard) refuses: what a program would ask of the network comes to nothing."""


class Tools:
    """Helm, cosign, syft and the registry, all of whose files lie in `directory`."""

    def __init__(self, directory: Path) -> None:
        """Find the programs.

        Raises:
            BinariesMissingError: one is not built.
        """
        self.directory = directory
        self.programs: Mapping[str, Path] = locate_all("release")
        self._environment = {
            "HOME": str(directory),
            "HTTP_PROXY": NOBODY,
            "HTTPS_PROXY": NOBODY,
            "NO_PROXY": "localhost,127.0.0.1,::1",
            "TUF_ROOT": str(directory / "trust"),
            "SYFT_CHECK_FOR_APP_UPDATE": "false",
            "SYFT_REGISTRY_INSECURE_USE_HTTP": "true",
            **{f"HELM_{kind}_HOME": str(directory / "helm" / kind) for kind in ("CACHE", "CONFIG", "DATA")},
        }

    def run(
        self,
        name: str,
        *arguments: str | Path,
        environment: Mapping[str, str] | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> str:
        """Run one of the programs, or one on PATH, to its end and give its standard output.

        Raises:
            CommandError: it failed, or took longer than `deadline_s` seconds.
        """
        command = self.programs.get(name, Path(name))
        return run(
            command,
            *arguments,
            environment={**self._environment, **(environment or {})},
            deadline_s=deadline_s,
        )
