"""Containers of an example's pod as processes, the way a kubelet would start them.

What differs: directories stand for volumes, values are given for what the cluster would know, and
the commands of images that are not there are stand-ins.
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.examples.support import EXAMPLES, NODE
from tests.support.program import CHECKOUT

AGENT_URL = "http://azure-lb-metadata.azure-lb-metadata"
"""Where the documentation installs the agent."""

HOST_IP = "10.240.0.4"

_FIELDS = {"spec.nodeName": NODE, "status.hostIP": HOST_IP}


def pod_of(name: str) -> dict[str, Any]:
    """The specification of an example's pod."""
    pod: dict[str, Any] = yaml.safe_load((EXAMPLES / name).read_text())
    assert pod["kind"] == "Pod"
    return dict(pod["spec"])


def stand_in(directory: Path, name: str, script: str) -> None:
    """Put a shell script into a directory of programs."""
    program = directory / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@dataclass(frozen=True)
class Container:
    """A command line and what is in its environment."""

    command: list[str]
    environment: dict[str, str]


@dataclass
class PodOnDisk:
    """The containers of a pod, with a directory for each mount path.

    `agent` stands for the Service, `secrets` has the values of secrets by key.
    """

    spec: Mapping[str, Any]
    directory: Path
    agent: str
    secrets: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the volumes, and a directory with our command."""
        self.programs = self.directory / "programs"
        self.programs.mkdir(parents=True)
        # Whatever the working directory is, the command is that of this checkout.
        stand_in(
            self.programs,
            "azure-lb-metadata",
            f'PYTHONPATH="{CHECKOUT}" exec "{sys.executable}" -m sidecar "$@"',
        )
        for path in self._mount_paths():
            self.volume(path).mkdir(parents=True)

    def volume(self, path: str) -> Path:
        """The directory that is mounted at `path`."""
        return self.directory / "volumes" / path.lstrip("/")

    def container(self, name: str) -> Container:
        """A container by its name."""
        found = self._named(name)
        environment = {item["name"]: self._value(item) for item in found.get("env", ())}
        arguments = [*found.get("command", ["azure-lb-metadata"]), *found.get("args", ())]
        return self._prepared(arguments, environment)

    def probe(self, name: str, kind: str) -> Container:
        """The command of a container's probe."""
        return self._prepared(self._named(name)[kind]["exec"]["command"], {})

    def _prepared(self, arguments: list[str], environment: dict[str, str]) -> Container:
        path = {"PATH": f"{self.programs}:/usr/local/bin:/usr/bin:/bin"}
        return Container([self._placed(argument) for argument in arguments], {**environment, **path})

    def _named(self, name: str) -> dict[str, Any]:
        containers = (*self.spec.get("initContainers", ()), *self.spec["containers"])
        (found,) = (container for container in containers if container["name"] == name)
        return dict(found)

    def _mount_paths(self) -> set[str]:
        containers = (*self.spec.get("initContainers", ()), *self.spec["containers"])
        return {mount["mountPath"] for container in containers for mount in container["volumeMounts"]}

    def _value(self, item: Mapping[str, Any]) -> str:
        if "value" in item:
            return self._placed(item["value"])
        source = item["valueFrom"]
        if "secretKeyRef" in source:
            return self.secrets[source["secretKeyRef"]["key"]]
        return _FIELDS[source["fieldRef"]["fieldPath"]]

    def _placed(self, text: str) -> str:
        """Text with the directories of volumes for their mount paths, and the agent's URL for the Service."""
        paths = "|".join(re.escape(path) for path in self._mount_paths())
        text = re.sub(rf"(?<![\w/.])({paths})(?=/|\s|$)", lambda found: str(self.volume(found[1])), text)
        return text.replace(AGENT_URL, self.agent)
