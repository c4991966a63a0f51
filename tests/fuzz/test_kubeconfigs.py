"""Kubeconfigs of any shape and content work, or are refused in one line with exit code 2."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings, strategies as st

from sidecar.errors import ExitCode
from sidecar.kube import KubeConfigError, KubernetesError
from sidecar.kube.access import LoadingRules, context_names
from sidecar.kube.requests import Request, requester
from sidecar.metrics import Metrics
from tests.kube.kubeconfigs import of

SECRET = "hunter2-hunter2"  # noqa: S105 - what must not be shown

SERVERS = (
    "http://127.0.0.1:9",
    "https://127.0.0.1:9",
    "127.0.0.1:9",
    "[::1]:9",
    "http://[::1",
    "http://127.0.0.1:9/a/",
)
"""All of loopback, or none: a generated kubeconfig must reach nobody."""

TEXTS = st.sampled_from(
    ["", "a", "a\nb", "é", "\0", "\ud800", "/", "../x", "eA==", "127.0.0.1:9", "a..b", SECRET]
)
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
"""Any value that a file can hold."""


def fields(usual: Mapping[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Some fields, most of them with a value that they may have."""
    return st.fixed_dictionaries({}, optional={key: value | ODD for key, value in usual.items()})


PROXIES = st.sampled_from(["http://127.0.0.1:9", "socks5://127.0.0.1:9", "http://a:b@127.0.0.1:9", "x"])
CLUSTERS = fields(
    {
        "certificate-authority": TEXTS,
        "certificate-authority-data": TEXTS,
        "insecure-skip-tls-verify": st.booleans(),
        "tls-server-name": TEXTS,
        "proxy-url": PROXIES,
        "extensions": st.just([{"name": "client.authentication.k8s.io/exec", "extension": {}}]),
    }
)
# No program is ever started: one that is not there is found missing after all else was read.
PLUGINS = fields(
    {
        "apiVersion": st.just("client.authentication.k8s.io/v1"),
        "args": st.lists(TEXTS, max_size=2),
        "env": st.lists(fields({"name": TEXTS, "value": TEXTS}), max_size=2),
        "installHint": TEXTS,
        "interactiveMode": st.sampled_from(["Never", "IfAvailable", "Always"]),
        "provideClusterInfo": st.booleans(),
    }
).map(lambda plugin: {**plugin, "command": "/nonexistent/plug-in"})
USERS = fields(
    {
        "token": TEXTS,
        "tokenFile": TEXTS,
        "username": TEXTS,
        "password": TEXTS,
        "client-certificate": TEXTS,
        "client-certificate-data": TEXTS,
        "client-key": TEXTS,
        "client-key-data": TEXTS,
        "as": TEXTS,
        "as-uid": TEXTS,
        "as-groups": st.lists(TEXTS, max_size=2),
        "as-user-extra": st.dictionaries(TEXTS, st.lists(TEXTS, max_size=2), max_size=2),
        "auth-provider": st.just({"name": "oidc", "config": {"id-token": SECRET}}),
    }
)
ANY_USER = st.one_of(USERS, st.tuples(USERS, PLUGINS).map(lambda both: {**both[0], "exec": both[1]}))


def judge(path: Path, content: bytes) -> None:
    """A kubeconfig is refused in one line without its secrets, or a request can be made with it."""
    path.write_bytes(content)
    # Nobody answers, so there always is an error.
    with pytest.raises((KubeConfigError, KubernetesError)) as failure:
        asyncio.run(ask(path))
    assert failure.value.exit_code is not ExitCode.DONE
    line = str(failure.value)
    assert line.isprintable()
    assert SECRET not in line


async def ask(path: Path) -> None:
    """Load it, and ask: on loopback, where nobody answers."""
    rules = LoadingRules(kubeconfig=str(path))
    await context_names(rules)
    async with requester(rules, metrics=Metrics(), timeout=60) as requests:
        await requests.send(Request(method="GET", path="/a"))


SHOWN = ("certificate-authority", "tls-server-name", "tokenFile", "client-certificate", "client-key")

RUNS = settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@RUNS
@given(server=st.sampled_from(SERVERS), cluster=CLUSTERS, user=ANY_USER)
def test_fields(tmp_path: Path, server: str, cluster: dict[str, Any], user: dict[str, Any]) -> None:
    """Any mixture of fields works or is refused in one line, whatever their values are."""
    # The name of a file, or a hint for people, is no secret: it may be shown.
    plugin = user.get("exec")
    hint = plugin.get("installHint") if isinstance(plugin, dict) else None
    assume(SECRET not in [*(fields.get(name) for fields in (cluster, user) for name in SHOWN), hint])
    config = of(cluster={**cluster, "server": server}, user=user)
    judge(tmp_path / "config", json.dumps(config).encode())


@RUNS
@given(
    config=fields({key: st.lists(ODD, max_size=2) for key in ("contexts", "clusters", "users")}), current=ODD
)
def test_shapes(tmp_path: Path, config: dict[str, Any], current: object) -> None:
    """Any shape is refused in one line."""
    judge(tmp_path / "config", json.dumps({**config, "current-context": current}).encode())


WHOLE = yaml.safe_dump(of(user={"token": SECRET})).encode()


@RUNS
@given(start=st.integers(0, len(WHOLE)), length=st.integers(0, 9), instead=st.binary(max_size=6))
def test_bytes(tmp_path: Path, start: int, length: int, instead: bytes) -> None:
    """A kubeconfig of which some bytes are others works or is refused in one line without its token."""
    content = WHOLE[:start] + instead + WHOLE[start + length :]
    # Not another server: no name may be looked up.
    if b"\n    server: http://127.0.0.1:9\n" in content:
        judge(tmp_path / "config", content)


@pytest.mark.parametrize(
    "text", ["!!int ''", "!!timestamp x", "!!bool x", "1:" * 400 + "1.5", "[" * 3000, "? {}\n: a"]
)
def test_yaml_that_breaks_its_parser(tmp_path: Path, text: str) -> None:
    """What PyYAML stumbles over, rather than refusing it, is refused in one line."""
    judge(tmp_path / "config", text.encode())
