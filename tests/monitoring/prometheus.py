"""A real Prometheus that scrapes what a test names and evaluates the chart's rules, and promtool beside it.

Both come with Debian's package ``prometheus``. It scrapes several times a second, so that minutes of an
alert are seconds here.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.chart.helm import RELEASE, Value, render
from tests.support.processes import ServerProcess

ENABLE_COMMAND = "apt-get install --yes --no-install-recommends prometheus"
SCRAPE_INTERVAL_S = 0.25
START_DEADLINE_S = 120.0

_INTERVAL = f"{round(SCRAPE_INTERVAL_S * 1000)}ms"
_CONFIGURATION = {
    "global": {
        "scrape_interval": _INTERVAL,
        "scrape_timeout": _INTERVAL,
        "evaluation_interval": _INTERVAL,
    },
    "rule_files": ["rules.yaml"],
    "scrape_configs": [
        {
            "job_name": RELEASE,
            "file_sd_configs": [{"files": ["targets/*.json"], "refresh_interval": "1s"}],
        }
    ],
}
_COMMAND = (
    "prometheus",
    "--config.file=prometheus.yaml",
    "--storage.tsdb.path=data",
    # Any free port; the log says which.
    "--web.listen-address=127.0.0.1:0",
)


class QueryError(Exception):
    """Prometheus refused a query; the text is what it said."""


@dataclass(frozen=True)
class Alert:
    """An alert that is pending or fires."""

    name: str
    state: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


def missing() -> str | None:
    """Why there is no Prometheus to test with, or None."""
    absent = [name for name in ("prometheus", "promtool") if shutil.which(name) is None]
    return f"the program {absent[0]} is not installed" if absent else None


def alert_rules(values: Mapping[str, Value] | None = None) -> dict[str, Any]:
    """The chart's rules with these values: what a rule file of Prometheus holds."""
    rule = render({"prometheusRule.enabled": True, **(values or {})}).one("PrometheusRule", RELEASE)
    groups: dict[str, Any] = {"groups": rule["spec"]["groups"]}
    return groups


async def promtool(*arguments: str, directory: Path) -> str:
    """Run promtool in a folder, and give what it said.

    Raises:
        AssertionError: it found something wrong.
    """
    process = await asyncio.create_subprocess_exec(
        "promtool", *arguments, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


class Prometheus:
    """A running one. Made by `running`."""

    def __init__(self, url: str, session: aiohttp.ClientSession, *, targets: Path) -> None:
        self.url = url
        self._session = session
        self._targets = targets

    def scrape(self, url: str, **labels: str) -> None:
        """Scrape ``/metrics`` of a base URL from now on, with these labels, as the chart's monitors add."""
        target = [{"targets": [url.removeprefix("http://")], "labels": labels}]
        name = "-".join(labels.values()) or "target"
        scratch = self._targets / f"{name}.tmp"
        scratch.write_text(json.dumps(target))
        scratch.rename(self._targets / f"{name}.json")

    async def api(self, path: str, **parameters: str) -> Any:
        """The data of an answer of the HTTP API.

        Raises:
            QueryError: there are none.
        """
        async with self._session.get(f"{self.url}/api/v1/{path}", params=parameters) as response:
            answer = await response.json()
        if answer["status"] != "success":
            raise QueryError(answer["error"])
        return answer["data"]

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression now, each with ``metric`` and ``value``."""
        result: list[dict[str, Any]] = (await self.api("query", query=expression))["result"]
        return result

    async def query_range(
        self, expression: str, *, start: float, end: float, step: float
    ) -> list[dict[str, Any]]:
        """The series of an expression over a time, each with ``metric`` and ``values``."""
        data = await self.api("query_range", query=expression, start=str(start), end=str(end), step=str(step))
        result: list[dict[str, Any]] = data["result"]
        return result

    async def alerts(self, name: str) -> list[Alert]:
        """The alerts of that name that are pending or fire."""
        found = (await self.api("alerts"))["alerts"]
        return [
            Alert(name=name, state=one["state"], labels=one["labels"], annotations=one["annotations"])
            for one in found
            if one["labels"]["alertname"] == name
        ]

    async def firing(self, name: str) -> list[Alert]:
        """The alerts of that name that fire."""
        return [alert for alert in await self.alerts(name) if alert.state == "firing"]


@asynccontextmanager
async def running(directory: Path, *, rules: Mapping[str, Any] | None = None) -> AsyncIterator[Prometheus]:
    """A Prometheus of the test's own with these rules, for the length of the block."""
    targets = directory / "targets"
    targets.mkdir(parents=True)
    (directory / "rules.yaml").write_text(yaml.safe_dump(dict(rules or {"groups": []})))
    (directory / "prometheus.yaml").write_text(yaml.safe_dump(_CONFIGURATION))
    log = directory / "prometheus.log"
    process = ServerProcess(_COMMAND, directory=directory, log=log)
    await asyncio.to_thread(
        process.start,
        lambda: "Server is ready" in log.read_text(),
        deadline_s=START_DEADLINE_S,
        environment={"PATH": os.defpath},
    )
    timeout = aiohttp.ClientTimeout(total=START_DEADLINE_S)
    try:
        listening = re.search(r'msg="Listening on" address=(\S+)', log.read_text())
        assert listening is not None, log.read_text()
        async with aiohttp.ClientSession(timeout=timeout) as session:
            yield Prometheus(f"http://{listening[1]}", session, targets=targets)
    finally:
        await asyncio.to_thread(process.end)
