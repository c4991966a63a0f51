"""A kubeconfig means what it means to kubectl, or is refused in one sentence."""

import base64
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.kube import KubeConfigError, MalformedBodyError, access, connect
from sidecar.kube.access import LoadingRules, context_names, load_access
from sidecar.metrics import Metrics
from tests.kube.asking import NODE
from tests.kube.kubeconfigs import PLAIN, TOKEN, loaded, of, refused, written
from tests.support.fake_apiserver import FakeApiServer, Reply
from tests.support.pipes import silent_pipe


async def test_impersonation(server: FakeApiServer, metrics: Metrics, tmp_path: Path) -> None:
    """Every request asks for the rights of whom the kubeconfig names, and for no others."""
    user = {
        **TOKEN,
        "as": "viewer",
        "as-uid": "7",
        "as-groups": ["a", "b"],
        "as-user-extra": {"example.com/scopes": ["x", "y"], "100%": ["z"]},
    }
    kubeconfig = server.kubeconfig(tmp_path / "config", user=user)
    async with connect(metrics=metrics, kubeconfig=kubeconfig) as client:
        await client.get(NODE, cached=False)
        await client.apply(NODE, uid=server.nodes[NODE].uid, annotations={}, field_manager="a")
    for request in server.requests:
        sent = [(n, v) for n, v in request.headers.items() if n.startswith("Impersonate-")]
        assert sorted(sent) == [
            ("Impersonate-Extra-100%25", "z"),
            ("Impersonate-Extra-example.com%2Fscopes", "x"),
            ("Impersonate-Extra-example.com%2Fscopes", "y"),
            ("Impersonate-Group", "a"),
            ("Impersonate-Group", "b"),
            ("Impersonate-Uid", "7"),
            ("Impersonate-User", "viewer"),
        ]
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ({**TOKEN, "as-groups": ["a"]}, "without as"),
        ({**TOKEN, "as": "a\nImpersonate-Group: system:masters"}, "cannot be sent"),
        ({**TOKEN, "as-groups": "system:masters"}, "as-groups is no list"),
        ({**TOKEN, "as-user-extra": ["a"]}, "as-user-extra is no mapping"),
        ({**TOKEN, "username": "a", "password": "b"}, "both a token and a username"),
        ({"token": 7}, "token is no text"),
        ({"auth-provider": {"name": "azure", "config": {}}}, "convert-kubeconfig"),
        ({"auth-provider": {"name": "oidc", "config": {"id-token": ""}}}, "gives no token"),
        ({"client-certificate-data": "eA=="}, "without its key"),
        (
            {"client-certificate-data": "eA", "client-key-data": "eA=="},
            "client-certificate-data is no base64",
        ),
        ({"client-certificate": "none", "client-key": "none"}, "none"),
    ],
)
async def test_refused_user(tmp_path: Path, user: Mapping[str, Any], words: str) -> None:
    """A user that cannot be meant, or who would be asked for with other rights, is refused in words."""
    assert words in await refused(written(tmp_path / "config", user=user))


@pytest.mark.parametrize(
    ("cluster", "words"),
    [
        ({**PLAIN, "proxy-url": "socks5://127.0.0.1:9"}, "scheme socks5; it may be http or https"),
        ({**PLAIN, "proxy-url": "127.0.0.1:9"}, "proxy-url"),
        ({"server": "ftp://127.0.0.1"}, "scheme ftp"),
        ({"server": "http://a..b"}, "no URL"),
        ({"server": "http://a:99999"}, "no URL"),
        ({"server": "http://a:b@c"}, "has a user"),
        ({"server": ""}, "names no server"),
        ({**PLAIN, "tls-server-name": "a..b"}, "tls-server-name is no name"),
        ({**PLAIN, "insecure-skip-tls-verify": "yes"}, "neither true nor false"),
        ({**PLAIN, "insecure-skip-tls-verify": True, "certificate-authority": "ca"}, "both an authority"),
        ({**PLAIN, "certificate-authority": "none"}, "/none: "),
    ],
)
async def test_refused_cluster(tmp_path: Path, cluster: Mapping[str, Any], words: str) -> None:
    """A cluster that cannot be reached as it says is refused at once, before anything is asked."""
    assert words in await refused(written(tmp_path / "config", cluster=cluster))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "config is empty"),
        (b"# nothing\n---\n", "config is empty"),
        ("current-context: a\n".encode("utf-16"), "is UTF-16 or binary"),
        ("current-context: a\n".encode("utf-16-le"), "is UTF-16 or binary"),
        (b"\xe9: a", "is not UTF-8 (byte 0)"),
        (b"token: secret: a", "is no YAML (line 1, column 14)"),
        (b"[" * 5000, "is no YAML"),
        (b"a: 2026-13-01", "is no YAML"),
        (b"[]", "is no mapping"),
        (
            b"contexts: [{name: a, context: {cluster: c, user: u}}]\ncurrent-context: a",
            "cluster c, which is not",
        ),
        (b"contexts: [{name: a}, {name: a}]", "has no context"),
        (b"users: [{name: a, user: {}}, {name: a, user: {}}]", "has user a twice"),
        (b"users: [{user: {}}]", "a user without a name"),
    ],
)
async def test_refused_file(tmp_path: Path, content: bytes, words: str) -> None:
    """A file that is no kubeconfig is named with what it is instead; nothing in it is shown."""
    (tmp_path / "config").write_bytes(content)
    line = await refused(str(tmp_path / "config"))
    assert words in line
    assert "secret" not in line


async def test_user_that_is_missing(tmp_path: Path) -> None:
    """A context whose user is not there is refused, rather than asked as nobody; one without user is not."""
    config = of()
    del config["users"]
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    assert "context a names user u, which is not there" in await refused(str(tmp_path / "config"))
    del config["contexts"][0]["context"]["user"]
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    assert (await load_access(LoadingRules(kubeconfig=str(tmp_path / "config")))).fixed_authorization is None


async def test_json_with_tabs_and_byte_order_mark(tmp_path: Path) -> None:
    """A kubeconfig may be JSON, as kubectl config view -o json has it, and begin with a byte order mark."""
    config = of()
    (tmp_path / "config").write_text(json.dumps(config, indent="\t"), encoding="utf-8-sig")
    assert (
        await load_access(LoadingRules(kubeconfig=str(tmp_path / "config")))
    ).fixed_authorization == "Bearer t"


async def test_pipe() -> None:
    """A kubeconfig may come through a pipe, as of the shell's ``<(sops --decrypt …)``."""
    reading, writing = os.pipe()
    os.write(writing, json.dumps(of()).encode())
    os.close(writing)
    try:
        loaded_access = await load_access(LoadingRules(kubeconfig=f"/dev/fd/{reading}"))
    finally:
        os.close(reading)
    assert loaded_access.fixed_authorization == "Bearer t"


@pytest.mark.parametrize("use", [load_access, context_names])
async def test_pipe_that_nobody_writes(
    use: Callable[[LoadingRules], Awaitable[object]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe into which nothing comes is given up, with its reason."""
    monkeypatch.setattr(access, "_KUBECONFIG_TIMEOUT", 0.05)
    with silent_pipe(tmp_path / "config"), pytest.raises(KubeConfigError, match=r"0\.05 s"):
        await use(LoadingRules(kubeconfig=str(tmp_path / "config")))


async def test_each_path_is_relative_to_its_own_file(tmp_path: Path) -> None:
    """Of several files, the cluster's relative paths start at its file and the user's at the user's."""
    for name in ("clusters", "users"):
        (tmp_path / name).mkdir()
    (tmp_path / "users" / "token").write_text("of-the-user")
    cluster = {"clusters": [{"name": "c", "cluster": {**PLAIN, "certificate-authority": "ca.crt"}}]}
    user = {"users": [{"name": "u", "user": {"tokenFile": "token"}}]}
    context = {"contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}], "current-context": "a"}
    (tmp_path / "clusters" / "config").write_text(json.dumps({**cluster, **context}))
    (tmp_path / "users" / "config").write_text(json.dumps(user))
    kubeconfig = f"{tmp_path}/clusters/config:{tmp_path}/users/config"
    assert f"{tmp_path}/clusters/ca.crt: No such file" in (await refused(kubeconfig)).replace(
        "[Errno 2] ", ""
    )
    (tmp_path / "clusters" / "config").write_text(
        json.dumps({"clusters": [{"name": "c", "cluster": PLAIN}], **context})
    )
    access = await load_access(LoadingRules(kubeconfig=kubeconfig))
    assert await access.authorization() == "Bearer of-the-user"


async def test_empty_values_say_nothing(tmp_path: Path) -> None:
    """An empty text is as good as none: the file beside it counts."""
    (tmp_path / "token").write_text("of-the-file")
    access = await loaded(tmp_path / "config", user={"token": "", "tokenFile": "token", "as": ""})
    assert await access.authorization() == "Bearer of-the-file"
    assert not access.impersonation
    cluster = {**PLAIN, "certificate-authority-data": "", "certificate-authority": "ca.crt"}
    assert "ca.crt" in await refused(written(tmp_path / "config", cluster=cluster))


@pytest.mark.parametrize(
    ("user", "sent"),
    [
        ({"token": "a", "exec": {"command": "false", "apiVersion": "x"}}, "Bearer a"),
        ({"username": "a", "password": "b"}, f"Basic {base64.b64encode(b'a:b').decode()}"),
        ({"auth-provider": {"name": "oidc", "config": {"id-token": "i"}}}, "Bearer i"),
    ],
)
async def test_who_asks(tmp_path: Path, user: Mapping[str, Any], sent: str) -> None:
    """A token goes before a plug-in; name and password, and the token that kubectl left, are sent."""
    assert (await loaded(tmp_path / "config", user=user)).fixed_authorization == sent


@pytest.mark.parametrize(
    ("cluster", "server"),
    [
        ({"server": "127.0.0.1:6443"}, "http://127.0.0.1:6443"),
        ({"server": "127.0.0.1:6443", "insecure-skip-tls-verify": True}, "https://127.0.0.1:6443"),
        ({"server": "https://rancher.example/k8s/clusters/c-1/"}, "https://rancher.example/k8s/clusters/c-1"),
    ],
)
async def test_server(tmp_path: Path, cluster: Mapping[str, Any], server: str) -> None:
    """A server without a scheme is spoken to as kubectl does; a path stays."""
    assert (await loaded(tmp_path / "config", cluster=cluster)).server == server


async def test_names_in_the_order_of_the_files(tmp_path: Path) -> None:
    """All contexts are those of all files, the first file's first."""
    for file, names in (("one", "ba"), ("two", "ac")):
        contexts = [{"name": name, "context": {}} for name in names]
        (tmp_path / file).write_text(json.dumps({"contexts": contexts}))
    rules = LoadingRules(kubeconfig=f"{tmp_path}/one:{tmp_path}/two")
    assert await context_names(rules) == ["b", "a", "c"]


@pytest.mark.parametrize(("disable", "sent"), [(True, "identity"), (False, "gzip, deflate")])
async def test_compression(
    server: FakeApiServer,
    metrics: Metrics,
    tmp_path: Path,
    *,
    disable: bool,
    sent: str,
) -> None:
    """Answers are asked for without compression where the kubeconfig wants that."""
    cluster = {"server": server.url, "disable-compression": disable}
    async with connect(metrics=metrics, kubeconfig=written(tmp_path / "config", cluster=cluster)) as client:
        await client.get(NODE, cached=False)
    assert server.requests[0].headers["Accept-Encoding"].startswith(sent)


async def test_words_of_a_tls_server(server: FakeApiServer, metrics: Metrics, tmp_path: Path) -> None:
    """Who asks a TLS port without TLS is shown the server's words, and told to look at the address."""
    words = b"Client sent an HTTP request to an HTTPS server.\n"
    server.script.append(Reply(status=400, body=words, headers={"Content-Type": "text/plain; charset=utf-8"}))
    async with connect(metrics=metrics, kubeconfig=server.kubeconfig(tmp_path / "config")) as client:
        with pytest.raises(MalformedBodyError, match=r"HTTPS server.*address in the kubeconfig"):
            await client.get(NODE, cached=False)
