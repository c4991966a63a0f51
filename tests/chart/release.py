"""A release of the chart on a real API server without controllers: nothing runs."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chart import helm
from tests.chart.helm import CHART, RELEASE, Value, values_arguments
from tests.support.cluster import ApiError, Cluster


class HelmError(Exception):
    """Helm refused; the text is what it said."""


@dataclass(frozen=True)
class Release:
    """A release in a namespace of its own, as somebody with this kubeconfig sees it."""

    cluster: Cluster
    namespace: str
    config: Path
    by: str = "helm"
    """Which of `helm.HELMS` it is in the hands of."""

    async def run(self, *arguments: str) -> str:
        """Run Helm, and give what it says.

        Raises:
            HelmError: it ended with another code than 0.
        """
        options = ("--namespace", self.namespace, "--kubeconfig", str(self.config))
        home = {"HOME": str(self.config.parent)}
        done = await asyncio.to_thread(helm.run, *arguments, *options, environment=home, by=self.by)
        if done.returncode:
            raise HelmError(done.stderr)
        return done.stdout

    async def upgrade(self, **values: Value) -> str:
        """Install or upgrade, with values whose dots are written as ``__``, and give the notes.

        Hooks that are Jobs are left out: nothing would run them.
        """
        given = {path.replace("__", "."): value for path, value in values.items()}
        flags = values_arguments(given | {"prune.onUninstall": False})
        return await self.run("upgrade", "--install", RELEASE, str(CHART), "--create-namespace", *flags)

    async def uninstall(self) -> None:
        """Take it down."""
        await self.run("uninstall", RELEASE)

    async def get(self, group: str, path: str) -> dict[str, Any]:
        """An object of the namespace, as the admin sees it."""
        return await self.cluster.request("GET", f"{group}/namespaces/{self.namespace}/{path}")

    async def recorded(self) -> dict[str, str] | None:
        """The release's record: by prefix, the others that it has had; None when there is no record."""
        try:
            record = await self.get("/api/v1", f"configmaps/{RELEASE}-prefixes")
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return dict(record["data"])
