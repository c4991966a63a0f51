"""Kubeconfig files, credential plug-ins included: the only importer of ``kubernetes``.

Facts about ``kubernetes`` 37.0.2 that shape this module:

- ``load_kube_config`` cannot be told where to look: it reads ``KUBECONFIG`` when the library is
  imported. Its loader class can. That reads files on the loop, and merely logs when a credential
  plug-in (``exec``) fails.
- It keeps the token as it stands in the file, line end included, which is an error once it is a
  header, and reads a ``tokenFile`` only once. So tokens in files are read elsewhere.
- Of several files the last one's current context counts, even an empty one. As documented it is the
  first one's (https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/,
  "Merging kubeconfig files"); so it is chosen here.
- A broken kubeconfig surfaces as whatever its traversal stumbles over.
- The import computes the home directory and fails where there is none (no ``HOME`` and no entry in
  passwd). Container runtimes set ``HOME=/`` in such a case.
- ``CoreV1Api`` imports every model: 103 MiB and 1.3 s more than the loaders.
"""

import asyncio
from pathlib import Path

from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config.config_exception import ConfigException
from kubernetes.aio.config.kube_config import ConfigNode, KubeConfigLoader, KubeConfigMerger
from yaml import YAMLError

from sidecar.kube.credentials import CONFIGURATION_ADVICE, Access, tls_context, unusable
from sidecar.kube.errors import KubeConfigError, describe, printable

__all__ = ["contexts", "load"]

_BROKEN = (ConfigException, YAMLError, ValueError, TypeError, LookupError, AttributeError)
"""What the library's loaders raise for wrong input: the last four by stumbling over its shape."""

_BEARER_TOKEN = "BearerToken"  # noqa: S105 - the library's name of the place, no token
"""Where the library keeps the value of the ``Authorization`` header."""


async def contexts(paths: str) -> list[str]:
    """The names of the contexts in files joined by ``:``, in their order.

    Raises:
        KubeConfigError: they are unusable, or have none.
        OSError: they cannot be read.
    """
    try:
        return _names(await _merged(paths), paths)
    except _BROKEN as error:
        raise _broken(error) from None


async def load(paths: str, context: str | None) -> Access:
    """What a context of files joined by ``:`` says; ``None`` is the current one.

    Raises:
        KubeConfigError: they are unusable.
        OSError: a file cannot be read, or a certificate is none.
    """
    try:
        return await _load(paths, context)
    except _BROKEN as error:
        raise _broken(error) from None


def _broken(error: Exception) -> KubeConfigError:
    """Not to be chained: these may quote a whole entry, its token included, from its brace on."""
    return unusable(describe(error).partition("{")[0])


async def _merged(paths: str) -> ConfigNode:
    merger = await asyncio.to_thread(KubeConfigMerger, paths)
    merged: ConfigNode = merger.config
    currents = (file.get("current-context") for file in merger.config_files.values())
    merged.value["current-context"] = next(filter(None, currents), None)
    return merged


def _names(merged: ConfigNode, paths: str) -> list[str]:
    """The contexts; there is at least one."""
    names = [str(each["name"]) for each in merged["contexts"].value]
    if not names:
        raise KubeConfigError(f"the kubeconfig {paths} has no contexts", advice=CONFIGURATION_ADVICE)
    return names


async def _load(paths: str, context: str | None) -> Access:
    merged = await _merged(paths)
    names = _names(merged, paths)
    context = context or merged.safe_get("current-context")
    if context not in names:
        lacking = f"context {context}" if context else "current context"
        text = f"the kubeconfig {paths} has no {lacking}"
        raise KubeConfigError(text, advice=f"--context is one of: {printable(', '.join(names))}")
    configuration = Configuration()
    loader = KubeConfigLoader(config_dict=merged, config_base_path=None, active_context=context)
    await loader.load_and_set(configuration)
    user = _user(merged, context)
    if "exec" in user and not (configuration.api_key or configuration.cert_file):
        text = f"the credential plug-in of context {context} gave no credentials"
        raise KubeConfigError(text, advice="the log has its error; run the plug-in by hand, or log in anew")
    if not configuration.host:
        text = f"context {context} of {paths} names no server"
        raise KubeConfigError(text, advice=CONFIGURATION_ADVICE)
    return await asyncio.to_thread(_access, configuration, _token_file(user))


def _access(configuration: Configuration, token_file: Path | None) -> Access:
    return Access(
        server=configuration.host.rstrip("/"),
        tls=tls_context(
            authority_file=configuration.ssl_ca_cert,
            authority=configuration.ca_cert_data,
            certificate_file=configuration.cert_file,
            key_file=configuration.key_file,
            verify=configuration.verify_ssl,
        ),
        token_file=token_file,
        fixed_authorization=_authorization(configuration),
        server_name=configuration.tls_server_name,
        proxy=configuration.proxy,
    )


def _authorization(configuration: Configuration) -> str | None:
    """The header ``Authorization``; the library gives a token with its scheme, or name and password."""
    header = configuration.api_key.get(_BEARER_TOKEN, "").strip()
    if not header.isascii() or not (header or " ").isprintable():
        raise unusable("its token is no token")
    return header or None


def _user(merged: ConfigNode, context: str) -> ConfigNode:
    """The settings of a context's user; empty when it has none."""
    name = merged["contexts"].get_with_name(context)["context"].safe_get("user")
    user = merged["users"].get_with_name(name, safe=True)
    return user["user"] if user else ConfigNode("user", {})


def _token_file(user: ConfigNode) -> Path | None:
    """The file that goes before an embedded token, as the kubeconfig's reference has it.

    https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/ (AuthInfo).
    """
    if "exec" in user or "auth-provider" in user or "tokenFile" not in user:
        return None
    return Path(user.path).absolute().parent / str(user["tokenFile"])
