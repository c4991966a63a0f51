"""How to reach the API server: from the pod's service account or from a kubeconfig.

The service account is read here, as kubelet mounts it
(https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/), a kubeconfig in ``kubeconfig``,
which is imported when there is one, since it needs YAML.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sidecar.blocking import BlockedError, Blocking, read_regular
from sidecar.kube.credentials import (
    CONFIGURATION_ADVICE,
    FILE_TIMEOUT,
    Access,
    read_token,
    tls_context,
    unusable,
)
from sidecar.kube.errors import CredentialsError, KubeConfigError, UnreadConfigError, describe

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where kubelet mounts a pod's token and the certificate authority of its cluster."""

_HOST, _PORT = "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"
"""Variables by which kubelet gives every pod the address of the API server."""

_KUBECONFIG_TIMEOUT = 20.0
"""Seconds that reading a kubeconfig may take: it may be a pipe, whose writer asks for a passphrase first."""

_AUTHORITY_LIMIT = 1024 * 1024
"""Bytes of certificates that are read: what a ConfigMap can hold."""

_AUTOMOUNT_ADVICE = f"set automountServiceAccountToken: true for the pod; else {CONFIGURATION_ADVICE}"


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
    files: Blocking = field(default_factory=lambda: Blocking(FILE_TIMEOUT), repr=False, compare=False)
    """Reads them, and looks for kubeconfigs."""


async def load_access(rules: LoadingRules) -> Access:
    """Find and load the configuration.

    In this order: ``--kubeconfig``, the pod's service account (unless a context is named),
    ``KUBECONFIG``, ``~/.kube/config``.

    Raises:
        KubeConfigError: there is none, or it is unusable.
    """
    named = rules.kubeconfig or rules.context
    in_pod = not named and _HOST in rules.environ
    try:
        if in_pod and await rules.files.call((rules.service_account / "token").exists):
            return await rules.files.call(_service_account, rules)
        paths = await rules.files.call(partial(_kubeconfig_paths, rules, in_pod=in_pod))
        from sidecar.kube import kubeconfig  # noqa: PLC0415 - imports yaml

        return await kubeconfig.load(paths, rules.context, files=Blocking(_KUBECONFIG_TIMEOUT))
    except BlockedError as error:
        text = f"the Kubernetes configuration cannot be read: {describe(error)}"
        raise UnreadConfigError(text, advice=CONFIGURATION_ADVICE) from error
    except OSError as error:
        raise unusable(describe(error)) from error


async def context_names(rules: LoadingRules) -> list[str]:
    """The contexts of the kubeconfig, in its order.

    Raises:
        KubeConfigError: there is none, or it is unusable.
    """
    try:
        paths = await rules.files.call(partial(_kubeconfig_paths, rules, in_pod=False))
        from sidecar.kube import kubeconfig  # noqa: PLC0415 - imports yaml

        return await kubeconfig.contexts(paths, files=Blocking(_KUBECONFIG_TIMEOUT))
    except OSError as error:
        raise unusable(describe(error)) from error


def _service_account(rules: LoadingRules) -> Access:
    host, port = rules.environ.get(_HOST), rules.environ.get(_PORT)
    if not host or not port:
        raise unusable(f"{_HOST} or {_PORT} is empty or missing")
    authority = rules.service_account / "ca.crt"
    token_file = rules.service_account / "token"
    try:
        # Given as text, since OpenSSL reads what is no regular file for ever.
        certificates = read_regular(authority, limit=_AUTHORITY_LIMIT)
        if not certificates.strip():
            raise unusable(f"{authority} is empty")  # and not the system's own authorities
        tls = tls_context(authority=certificates.decode("ascii", "replace"))
        read_token(token_file)
    except CredentialsError as error:
        raise unusable(error.args[0]) from error
    host = f"[{host}]" if ":" in host else host
    return Access(server=f"https://{host}:{port}", tls=tls, token_file=token_file, files=rules.files)


def _kubeconfig_paths(rules: LoadingRules, *, in_pod: bool) -> str:
    """The kubeconfig to use: paths joined by ``:``, of which at least one exists."""
    named = rules.kubeconfig or rules.environ.get("KUBECONFIG")
    home = rules.environ.get("HOME")
    paths = named or (f"{home}/.kube/config" if home else "")
    # `Path.expanduser` raises where there is no home. Not `is_file`: the shell's `<(…)` is a pipe.
    expanded = [os.path.expanduser(path) for path in paths.split(":") if path]  # noqa: PTH111
    if any(Path(path).exists() for path in expanded):
        return paths
    if named:
        raise KubeConfigError(f"there is no kubeconfig {named}", advice=CONFIGURATION_ADVICE)
    if in_pod:
        text = f"the pod has no service account token in {rules.service_account}, and no kubeconfig"
        raise KubeConfigError(text, advice=_AUTOMOUNT_ADVICE)
    raise KubeConfigError(
        "this is no pod of a cluster, and there is no kubeconfig", advice=CONFIGURATION_ADVICE
    )
