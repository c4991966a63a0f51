"""Credential plug-ins (``exec``) such as kubelogin, started as kubectl starts them.

Facts: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
and https://kubernetes.io/docs/reference/config-api/client-authentication.v1/. A command with a slash
is relative to the kubeconfig; ``KUBERNETES_EXEC_INFO`` is always set. Where a person can answer, the
plug-in has the terminal: a device code is shown there, and nowhere else.
"""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping, Sequence
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

_TIMEOUT = 60.0
"""Seconds that a plug-in without a terminal may take."""
_INTERACTIVE_TIMEOUT = 15 * 60.0
"""Seconds that one with a terminal may take: as long as a device code of Entra ID is valid."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials of a user, without a token that is in a file."""

    authorization: str | None = field(default=None, repr=False)
    """The header ``Authorization``."""
    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)
    """Of the client, as PEM; both or none."""


async def credentials(user: Entry, cluster: Entry, *, server: str) -> Credentials:
    """Start the plug-in that a user's ``exec`` names, and read the credentials that it prints.

    Args:
        user: The user of the kubeconfig.
        cluster: The cluster that it logs in to.
        server: URL of the cluster's API server.

    Raises:
        KubeConfigError: it is incomplete, needs a terminal where there is none, cannot be started, fails,
            takes too long, or prints no credentials.
    """
    given = user.mapping("exec")
    command = None if given is None else given.text("command")
    if given is None or command is None:
        raise unusable(f"{user.what}: its credential plug-in (exec) has no command")
    version = given.text("apiVersion")
    if version not in _VERSIONS:
        raise unusable(f"{given.what}: its apiVersion is none of {', '.join(_VERSIONS)}")
    mode = given.text("interactiveMode") or "IfAvailable"
    if mode not in _MODES:
        raise unusable(f"{given.what}: its interactiveMode is none of {', '.join(_MODES)}")
    terminal = sys.stdin is not None and sys.stdin.isatty()
    if mode == "Always" and not terminal:
        raise unusable(f"{given.what}: it needs a terminal, and standard input is none")
    interactive = mode != "Never" and terminal
    spec: dict[str, Any] = {"interactive": interactive}
    if given.flag("provideClusterInfo"):
        spec["cluster"] = _cluster_info(cluster, server=server)
    info = {"apiVersion": version, "kind": "ExecCredential", "spec": spec}
    variables = {each.text("name"): each.text("value") or "" for each in given.mappings("env")}
    if any(not name or "=" in name for name in variables):
        raise unusable(f"{given.what}: its env has a variable without a name")
    path = given.file("command") if "/" in command else None
    words = (str(path or command), *given.texts("args"))
    hint = printable(given.text("installHint"))
    what = f"{given.what}: the credential plug-in {printable(words[0])}"
    environment = {
        **os.environ,
        **{str(name): value for name, value in variables.items()},
        "KUBERNETES_EXEC_INFO": to_json(info).decode(),
    }
    timeout = _INTERACTIVE_TIMEOUT if interactive else _TIMEOUT
    try:
        async with asyncio.timeout(timeout):
            code, output, errors = await _run(words, environment, interactive=interactive)
    except FileNotFoundError as error:
        raise KubeConfigError(
            f"{what} is not there", advice=hint or "install it, and see that it is in PATH"
        ) from error
    except TimeoutError as error:
        raise unusable(f"{what} gave nothing within {timeout:g} s") from error
    except (OSError, ValueError) as error:
        raise unusable(f"{what} cannot be started: {describe(error)}") from error
    if code != 0:
        told = printable(errors.decode("utf-8", "replace")) or "see its words above, or run it by hand"
        raise KubeConfigError(f"{what} ended with {code}", advice=told)
    return _read_credential(output, version=version, what=what)


def _cluster_info(cluster: Entry, *, server: str) -> dict[str, Any]:
    """The cluster as ``KUBERNETES_EXEC_INFO`` has it; certificates always as data."""
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


async def _run(
    words: Sequence[str], environment: Mapping[str, str], *, interactive: bool
) -> tuple[int, bytes, bytes]:
    """The exit code of a program, and its outputs; of what it writes to the terminal nothing is known."""
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=None if interactive else DEVNULL,
        stdout=PIPE,
        stderr=None if interactive else PIPE,
        env=environment,
    )
    try:
        async with asyncio.TaskGroup() as group:
            output = group.create_task(_kept(process.stdout))
            errors = group.create_task(_kept(process.stderr))
        code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return code, output.result(), errors.result()


async def _kept(stream: asyncio.StreamReader | None) -> bytes:
    """The beginning of an output; all of it is read, lest the program blocks."""
    kept = bytearray()
    while stream is not None and (chunk := await stream.read(65_536)):
        kept += chunk[: _OUTPUT_LIMIT - len(kept)]
    return bytes(kept)


def _read_credential(output: bytes, *, version: str, what: str) -> Credentials:
    """The credentials in an ``ExecCredential``; no error shows them.

    Args:
        output: Of the plug-in.
        version: The ``apiVersion`` that it was started with.
        what: The plug-in, for errors.
    """
    try:
        answer = from_json(output)
        given, status = answer["apiVersion"], answer["status"]
        token = status.get("token") or None
        pair = [status.get(key) or None for key in ("clientCertificateData", "clientKeyData")]
    except (ValueError, TypeError, LookupError, AttributeError):
        raise unusable(f"{what} gave no ExecCredential with a status") from None
    if given != version:
        raise unusable(f"{what} gave another apiVersion than {version}")
    if not all(isinstance(each, str | None) for each in (token, *pair)) or (pair[0] is None) != (
        pair[1] is None
    ):
        raise unusable(f"{what} gave half a certificate, or what is no text")
    if token is None and pair[0] is None:
        raise unusable(f"{what} gave neither a token nor a certificate")
    if token is not None and not (token.isascii() and token.isprintable()):
        raise unusable(f"{what} gave a token that is none")
    certificate, key = (None if each is None else each.encode("utf-8", "replace") for each in pair)
    return Credentials(None if token is None else f"Bearer {token.strip()}", certificate, key)
