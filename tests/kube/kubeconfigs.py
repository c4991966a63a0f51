"""Kubeconfigs with one context, and what they come to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.errors import ExitCode
from sidecar.kube import KubeConfigError
from sidecar.kube.access import LoadingRules, load_access
from sidecar.kube.credentials import Access

TOKEN = {"token": "t"}
"""A user."""
PLAIN = {"server": "http://127.0.0.1:9"}
"""A cluster."""


def of(*, cluster: Mapping[str, Any] = PLAIN, user: Mapping[str, Any] = TOKEN) -> dict[str, Any]:
    """A kubeconfig with one context, ``a``."""
    return {
        "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": dict(cluster)}],
        "users": [{"name": "u", "user": dict(user)}],
    }


def written(path: Path, **parts: Mapping[str, Any]) -> str:
    """The path of such a kubeconfig, written; blocking, but small."""
    path.write_text(yaml.safe_dump(of(**parts)))
    return str(path)


async def loaded(path: Path, **parts: Mapping[str, Any]) -> Access:
    """What such a kubeconfig comes to."""
    return await load_access(LoadingRules(kubeconfig=written(path, **parts)))


async def refused(kubeconfig: str) -> str:
    """The line with which a kubeconfig is refused."""
    with pytest.raises(KubeConfigError) as failure:
        await load_access(LoadingRules(kubeconfig=kubeconfig))
    assert failure.value.exit_code is ExitCode.USAGE
    assert str(failure.value).isprintable()
    return str(failure.value)
