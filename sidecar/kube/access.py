"""How to reach the API server: from the pod's service account or from a kubeconfig.

Facts about ``kubernetes`` 37.0.2 that shape this module:

- ``load_incluster_config`` and ``load_kube_config`` cannot be told where to look: the first has its
  paths built in, the second reads ``KUBECONFIG`` when the library is imported. Their loader
  classes can. The first is synchronous, the second a coroutine that reads files on the loop and
  merely logs when a credential plug-in (``exec``) fails.
- Both keep the token as it stands in the file, line end included, which is an error once it is a
  header. The in-cluster loader's own refresh compares naive wall-clock times, so that a clock set
  back leaves a rotated token unread; a kubeconfig's ``tokenFile`` is read only once. So tokens in
  files are read here, before each request.
- A broken kubeconfig surfaces as whatever its traversal stumbles over.
- The import computes the home directory and fails where there is none (no ``HOME`` and no entry in
  passwd). Container runtimes set ``HOME=/`` in such a case.
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config.config_exception import ConfigException
from kubernetes.aio.config.incluster_config import (
    SERVICE_HOST_ENV_NAME,
    SERVICE_TOKEN_FILENAME,
    InClusterConfigLoader,
)
from kubernetes.aio.config.kube_config import ConfigNode, KubeConfigLoader, KubeConfigMerger
from yaml import YAMLError

from sidecar.kube.errors import CredentialsError, KubeConfigError, describe, printable

__all__ = [
    "BEARER_TOKEN",
    "SERVICE_ACCOUNT",
    "Access",
    "LoadingRules",
    "context_names",
    "load_access",
    "read_token",
]

SERVICE_ACCOUNT = Path(SERVICE_TOKEN_FILENAME).parent
"""Where kubelet mounts a pod's token and the certificate authority of its cluster."""

TOKEN_LIMIT = 65_536
"""Bytes of a token file that are read: more than any header may have."""

_ADVICE = "set --kubeconfig and --context, or --no-annotations to do without the Kubernetes API"
_AUTOMOUNT_ADVICE = f"set automountServiceAccountToken: true for the pod; else {_ADVICE}"

_BROKEN_CONFIGURATION = (ConfigException, YAMLError, ValueError, TypeError, LookupError, AttributeError)
"""What the library's loaders raise for wrong input: the last four by stumbling over its shape."""

BEARER_TOKEN = "BearerToken"  # noqa: S105 - the library's name of the place, no token
"""Where the library keeps the value of the ``Authorization`` header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadingRules:
    """Where to look for the way to the API server."""

    kubeconfig: str | None = None
    """A path, or several joined by ``:``, that goes before everything else."""
    context: str | None = None
    """A context of the kubeconfig, which is then used even within a pod; ``None`` is the current one."""
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    """Says whether this is a pod, and where kubeconfig and home are."""
    service_account: Path = SERVICE_ACCOUNT
    """Where the pod's token and certificate authority are mounted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach one API server."""

    configuration: Configuration
    token_file: Path | None
    """Holds the bearer token, and changes from time to time; ``None`` when there is no such file."""


async def load_access(rules: LoadingRules) -> Access:
    """Find and load the configuration.

    In this order: ``--kubeconfig``, the pod's service account (unless a context is named),
    ``KUBECONFIG``, ``~/.kube/config``.

    Raises:
        KubeConfigError: there is none, or it is unusable.
    """
    named = rules.kubeconfig or rules.context
    in_pod = not named and SERVICE_HOST_ENV_NAME in rules.environ
    try:
        if in_pod and await asyncio.to_thread((rules.service_account / "token").exists):
            access = await asyncio.to_thread(_load_service_account, rules)
        else:
            paths = await asyncio.to_thread(_kubeconfig_paths, rules, in_pod=in_pod)
            access = await _load_kubeconfig(paths, rules.context)
        _harden(access.configuration)
    except OSError as error:
        raise _unusable(describe(error)) from error
    except _BROKEN_CONFIGURATION as error:
        # Not chained: these may quote a whole entry, its token included, from its brace on.
        raise _unusable(describe(error).partition("{")[0]) from None
    return access


async def context_names(rules: LoadingRules) -> list[str]:
    """The contexts of the kubeconfig, in its order.

    Raises:
        KubeConfigError: there is none, or it is unusable.
    """
    try:
        paths = await asyncio.to_thread(_kubeconfig_paths, rules, in_pod=False)
        merged = (await asyncio.to_thread(KubeConfigMerger, paths)).config
        return [str(each["name"]) for each in merged["contexts"].value]
    except OSError as error:
        raise _unusable(describe(error)) from error
    except _BROKEN_CONFIGURATION as error:
        raise _unusable(describe(error).partition("{")[0]) from None


def read_token(path: Path) -> str:
    """Read a bearer token; blocking.

    Raises:
        CredentialsError: it cannot be read, or is no token.
    """
    advice = "see that the service account's token is mounted and readable"
    try:
        with path.open("rb") as file:
            content = file.read(TOKEN_LIMIT)
    except OSError as error:
        text = f"the token file {path} cannot be read: {describe(error)}"
        raise CredentialsError(text, advice=advice) from error
    token = content.decode("ascii", "replace").strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise CredentialsError(f"the token file {path} holds no token", advice=advice)
    return token


def _load_service_account(rules: LoadingRules) -> Access:
    token_file = rules.service_account / "token"
    configuration = Configuration()
    InClusterConfigLoader(
        token_filename=str(token_file),
        cert_filename=str(rules.service_account / "ca.crt"),
        try_refresh_token=False,
        environ=rules.environ,
    ).load_and_set(configuration)
    return Access(configuration=configuration, token_file=token_file)


def _kubeconfig_paths(rules: LoadingRules, *, in_pod: bool) -> str:
    """The kubeconfig to use: paths joined by ``:``, of which at least one exists."""
    named = rules.kubeconfig or rules.environ.get("KUBECONFIG")
    home = rules.environ.get("HOME")
    paths = named or (f"{home}/.kube/config" if home else "")
    if any(Path(path).expanduser().is_file() for path in paths.split(":") if path):
        return paths
    if named:
        raise KubeConfigError(f"there is no kubeconfig {named}", advice=_ADVICE)
    if in_pod:
        text = f"the pod has no service account token in {rules.service_account}, and no kubeconfig"
        raise KubeConfigError(text, advice=_AUTOMOUNT_ADVICE)
    raise KubeConfigError("this is no pod of a cluster, and there is no kubeconfig", advice=_ADVICE)


async def _load_kubeconfig(paths: str, context: str | None) -> Access:
    merged = (await asyncio.to_thread(KubeConfigMerger, paths)).config
    names = [each["name"] for each in merged["contexts"].value]
    context = context or merged["current-context"]
    if context not in names:
        text = f"the kubeconfig {paths} has no context {context}"
        raise KubeConfigError(text, advice=f"--context is one of: {printable(', '.join(names))}")
    configuration = Configuration()
    loader = KubeConfigLoader(config_dict=merged, config_base_path=None, active_context=context)
    await loader.load_and_set(configuration)
    user = _user(merged, context)
    if "exec" in user and not (configuration.api_key or configuration.cert_file):
        text = f"the credential plug-in of context {context} gave no credentials"
        raise KubeConfigError(text, advice="the log has its error; run the plug-in by hand, or log in anew")
    if not configuration.host:
        raise KubeConfigError(f"context {context} of {paths} names no server", advice=_ADVICE)
    return Access(configuration=configuration, token_file=_token_file(user))


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


def _harden(configuration: Configuration) -> None:
    """What no configuration file says: no proxy or netrc of the environment, no cookies.

    ``VERIFY_X509_STRICT``, which Python 3.13 turned on, refuses authorities of clusters that Go and
    earlier Pythons accept (kubernetes-client/python issue 2394); all else is verified as before.
    """
    configuration.disable_strict_ssl_verification = True
    configuration.client_session_kwargs = {"trust_env": False, "cookie_jar": aiohttp.DummyCookieJar()}
    if token := configuration.api_key.get(BEARER_TOKEN, "").strip():
        if not token.isascii() or not token.isprintable():
            raise _unusable("its token is no token")
        configuration.api_key[BEARER_TOKEN] = token


def _unusable(why: str) -> KubeConfigError:
    return KubeConfigError(f"the Kubernetes configuration is unusable: {why}", advice=_ADVICE)
