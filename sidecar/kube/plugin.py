"""Credential plug-ins (``exec``) such as kubelogin, started as kubectl starts them.

Facts: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
and https://kubernetes.io/docs/reference/config-api/client-authentication.v1/. A command with a slash
is relative to the kubeconfig; ``KUBERNETES_EXEC_INFO`` is always set. Where a person can answer, the
plug-in has the terminal: a device code is shown there, and nowhere else.
"""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json, to_json

from sidecar.kube.credentials import unusable
from sidecar.kube.errors import KubeConfigError, describe, printable
from sidecar.kube.kubeconfig_files import Entry

_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_EXTENSION = "client.authentication.k8s.io/exec"
"""The extension of a cluster whose content a plug-in is given."""

_MODES = ("Never", "IfAvailable", "Always")

_OUTPUT_LIMIT = 1024 * 1024
"""Bytes of each of a plug-in's outputs that are kept."""

_PATIENCE = 60.0
"""Seconds that a plug-in may take which nobody can answer."""
_PATIENCE_OF_PEOPLE = 15 * 60.0
"""Seconds that one may take that has the terminal: a device code of Entra ID is good for so long."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who asks."""

    authorization: str | None = field(default=None, repr=False)
    """The header ``Authorization``."""
    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)
    """Of the client, as PEM; both or none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """How a plug-in is started."""

    what: str
    """Whose it is, for people."""
    command: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    """Besides our own."""
    info: Mapping[str, Any]
    """What ``KUBERNETES_EXEC_INFO`` says, as JSON."""
    hint: str
    """How to install it; may be empty."""
    interactive: bool
    """Whether it has the terminal."""


def plugin(user: Entry, cluster: Entry, *, server: str) -> Plugin:
    """What a user's ``exec`` says.

    Raises:
        KubeConfigError: it is incomplete, or needs a terminal where there is none.
    """
    exec_ = user.mapping("exec")
    command = None if exec_ is None else exec_.text("command")
    if exec_ is None or command is None:
        raise unusable(f"{user.what}: its credential plug-in (exec) has no command")
    version = exec_.text("apiVersion")
    if version not in _VERSIONS:
        raise unusable(f"{exec_.what}: its apiVersion is none of {', '.join(_VERSIONS)}")
    mode = exec_.text("interactiveMode") or "IfAvailable"
    if mode not in _MODES:
        raise unusable(f"{exec_.what}: its interactiveMode is none of {', '.join(_MODES)}")
    terminal = sys.stdin is not None and sys.stdin.isatty()
    if mode == "Always" and not terminal:
        raise unusable(f"{exec_.what}: it needs a terminal, and standard input is none")
    interactive = mode != "Never" and terminal
    spec: dict[str, Any] = {"interactive": interactive}
    if exec_.flag("provideClusterInfo"):
        spec["cluster"] = _cluster_info(cluster, server=server)
    environment = {each.text("name"): each.text("value") or "" for each in exec_.mappings("env")}
    if any(not name or "=" in name for name in environment):
        raise unusable(f"{exec_.what}: its env has a variable without a name")
    path = exec_.file("command") if "/" in command else None
    return Plugin(
        what=exec_.what,
        command=str(path or command),
        arguments=tuple(exec_.texts("args")),
        environment={str(name): value for name, value in environment.items()},
        info={"apiVersion": version, "kind": "ExecCredential", "spec": spec},
        hint=printable(exec_.text("installHint")),
        interactive=interactive,
    )


def _cluster_info(cluster: Entry, *, server: str) -> dict[str, Any]:
    """The cluster as a plug-in is told of it; certificates always as data."""
    info: dict[str, Any] = {"server": server}
    for key in ("tls-server-name", "proxy-url", "certificate-authority-data"):
        if cluster.has(key):
            info[key] = cluster.text(key)
    for key in ("insecure-skip-tls-verify", "disable-compression"):
        if cluster.flag(key):
            info[key] = True
    for each in cluster.mappings("extensions"):
        if each.text("name") == _EXTENSION:
            info["config"] = each.values.get("extension")
    return info


async def credentials(plugin: Plugin) -> Credentials:
    """Start a plug-in and read what it gives.

    Raises:
        KubeConfigError: it cannot be started, fails, takes too long, or gives nothing of use.
    """
    patience = _PATIENCE_OF_PEOPLE if plugin.interactive else _PATIENCE
    try:
        async with asyncio.timeout(patience):
            code, output, errors = await _run(plugin)
    except FileNotFoundError as error:
        text = f"{plugin.what}: the credential plug-in {printable(plugin.command)} is not there"
        raise KubeConfigError(text, advice=plugin.hint or "install it, and see that it is in PATH") from error
    except TimeoutError as error:
        raise unusable(f"{_named(plugin)} gave nothing within {patience:g} s") from error
    except (OSError, ValueError) as error:
        raise unusable(f"{_named(plugin)} cannot be started: {describe(error)}") from error
    if code != 0:
        told = printable(errors.decode("utf-8", "replace")) or "see its words above, or run it by hand"
        raise KubeConfigError(f"{_named(plugin)} ended with {code}", advice=told)
    return _read_credential(output, plugin)


def _named(plugin: Plugin) -> str:
    return f"{plugin.what}: the credential plug-in {printable(plugin.command)}"


async def _run(plugin: Plugin) -> tuple[int, bytes, bytes]:
    """Its exit code, and what it wrote; of what it wrote to the terminal nothing is known."""
    process = await asyncio.create_subprocess_exec(
        plugin.command,
        *plugin.arguments,
        stdin=None if plugin.interactive else DEVNULL,
        stdout=PIPE,
        stderr=None if plugin.interactive else PIPE,
        env={**os.environ, **plugin.environment, "KUBERNETES_EXEC_INFO": to_json(plugin.info).decode()},
    )
    try:
        async with asyncio.TaskGroup() as group:
            output = group.create_task(_kept(process.stdout))
            errors = group.create_task(_kept(process.stderr))
        code = await process.wait()
    finally:
        await _end(process)
    return code, output.result(), errors.result()


async def _kept(stream: asyncio.StreamReader | None) -> bytes:
    """The beginning of what comes; all of it is read, lest the plug-in waits for us."""
    kept = bytearray()
    while stream is not None and (chunk := await stream.read(65_536)):
        kept += chunk[: _OUTPUT_LIMIT - len(kept)]
    return bytes(kept)


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()


def _read_credential(output: bytes, plugin: Plugin) -> Credentials:
    """What an ``ExecCredential`` says; it is never shown."""
    try:
        answer = from_json(output)
        version, status = answer["apiVersion"], answer["status"]
        token = status.get("token") or None
        pair = [status.get(key) or None for key in ("clientCertificateData", "clientKeyData")]
    except (ValueError, TypeError, LookupError, AttributeError):
        raise unusable(f"{_named(plugin)} gave no ExecCredential with a status") from None
    if version != plugin.info["apiVersion"]:
        raise unusable(f"{_named(plugin)} gave another apiVersion than {plugin.info['apiVersion']}")
    if not all(isinstance(each, str | None) for each in (token, *pair)) or (pair[0] is None) != (
        pair[1] is None
    ):
        raise unusable(f"{_named(plugin)} gave half a certificate, or what is no text")
    if token is None and pair[0] is None:
        raise unusable(f"{_named(plugin)} gave neither a token nor a certificate")
    if token is not None and not (token.isascii() and token.isprintable()):
        raise unusable(f"{_named(plugin)} gave a token that is none")
    certificate, key = (None if each is None else each.encode("utf-8", "replace") for each in pair)
    return Credentials(None if token is None else f"Bearer {token.strip()}", certificate, key)
