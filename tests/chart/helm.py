"""Helm as the tests and the generators use it: renders the checkout's chart, knows no cluster."""

import json
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tools.binaries.programs import locate

CHECKOUT = Path(__file__).resolve().parents[2]
CHART = CHECKOUT / "charts" / "azure-lb-metadata"
RELEASE = NAMESPACE = "azure-lb-metadata"
DEADLINE_S = 180

HELMS = ("helm", "helm3")
"""Helm 4, which the tests use unless they say otherwise, and the oldest Helm 3 that the chart is for."""

Value = object
"""Anything that JSON can say."""


def program(name: str = "helm") -> Path:
    """The path of a Helm or helm-docs: what ``HELM``, ``HELM3`` or ``HELM_DOCS`` names, else the built one.

    Raises:
        BinariesMissingError: there is none.
    """
    given = os.environ.get(name.upper().replace("-", "_"))
    return Path(given) if given else locate(name)


def run(
    *arguments: str, environment: Mapping[str, str] | None = None, by: str = "helm"
) -> subprocess.CompletedProcess[str]:
    """Run Helm, or the one of `HELMS` that `by` names, to its end; its code is for the caller to judge."""
    return subprocess.run(
        [program(by), *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        # No cluster of the person who runs this.
        env={
            "PATH": os.defpath,
            "HOME": "/nonexistent",
            "KUBECONFIG": "/nonexistent/config",
            **(environment or {}),
        },
    )


class Rendered:
    """The objects of a release."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.objects: list[dict[str, Any]] = [item for item in yaml.safe_load_all(text) if item]

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Objects of a kind."""
        return [item for item in self.objects if item["kind"] == kind]

    def one(self, kind: str, name: str = RELEASE) -> dict[str, Any]:
        """The object of that kind and name; there must be exactly one."""
        found = [item for item in self.all(kind) if item["metadata"]["name"] == name]
        assert len(found) == 1, f"{len(found)} objects {kind} {name}, of {self.kinds}"
        return found[0]

    @property
    def kinds(self) -> set[str]:
        """Kinds that occur."""
        return {item["kind"] for item in self.objects}

    @property
    def agent(self) -> dict[str, Any]:
        """The pod template of the DaemonSet."""
        template: dict[str, Any] = self.one("DaemonSet")["spec"]["template"]
        return template

    @property
    def container(self) -> dict[str, Any]:
        """The agent's container."""
        container: dict[str, Any] = self.agent["spec"]["containers"][0]
        return container

    @property
    def arguments(self) -> list[str]:
        """The agent's command line, without the command."""
        command, *arguments = self.container["args"]
        assert command == "run"
        return list(arguments)

    @property
    def pods(self) -> dict[str, dict[str, Any]]:
        """Every pod of the chart, or template of one, as metadata and spec by the component's name."""
        pods = {
            item["kind"]: item["spec"]["template"]
            for item in self.objects
            if "template" in item.get("spec", {})
        }
        return pods | {item["kind"]: item for item in self.all("Pod")}


def values_arguments(values: Mapping[str, Value]) -> Iterable[str]:
    """Flags that set each value, a path with dots, to JSON."""
    for path, value in values.items():
        yield from ("--set-json", f"{path}={json.dumps(value)}")


def template(
    values: Mapping[str, Value], options: Sequence[str] = (), *, release: str = RELEASE, by: str = "helm"
) -> subprocess.CompletedProcess[str]:
    """Run ``helm template``."""
    arguments = [release, str(CHART), "--namespace", NAMESPACE, *values_arguments(values), *options]
    return run("template", *arguments, by=by)


def render(
    values: Mapping[str, Value] | None = None,
    *,
    options: Sequence[str] = (),
    release: str = RELEASE,
    by: str = "helm",
) -> Rendered:
    """The objects of the chart with these values; it must render."""
    done = template(values or {}, options, release=release, by=by)
    assert done.returncode == 0, done.stderr
    return Rendered(done.stdout)


def refusal(values: Mapping[str, Value], *, options: Sequence[str] = (), by: str = "helm") -> str:
    """What Helm says to values that must be refused."""
    done = template(values, options, by=by)
    assert done.returncode != 0, "these values were not refused"
    return done.stderr


def notes(values: Mapping[str, Value] | None = None) -> str:
    """The text after an installation, as far as it needs no cluster."""
    arguments = [*values_arguments(values or {}), "--dry-run=client"]
    done = run("install", RELEASE, str(CHART), "--namespace", NAMESPACE, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("\nNOTES:\n")[2]
