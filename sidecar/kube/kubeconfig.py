"""Kubeconfig files, read as kubectl reads them: from their bytes to the way to one API server.

Facts: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/ (the fields),
https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/ ("Merging
kubeconfig files": the first file that says something counts), and what client-go 1.34
(``tools/clientcmd``) does beyond that: relative paths start at the file they stand in, an empty text
is no text, a token goes before a credential plug-in, and what cannot be meant is refused.

Not by ``kubernetes.aio`` (37.0.2): it knows no impersonation, takes the user's relative paths from
the cluster's file, starts plug-ins without terminal, cluster and kubeconfig's folder, sends no credentials
where it does not know the kind of login, and refreshes OIDC tokens over TLS that is not verified.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from yarl import URL

from sidecar.blocking import Blocking
from sidecar.kube.credentials import Access, read_token, tls_context, unusable
from sidecar.kube.errors import CredentialsError, KubeConfigError, printable
from sidecar.kube.kubeconfig_files import Entry, KubeConfig, read
from sidecar.kube.plugin import Credentials, credentials

_PROXIES = ("http", "https")
"""Schemes; of ``socks5``, which kubectl knows besides, there is no client here."""

_CERTIFICATE = ("client-certificate", "client-certificate-data")

_NAME = "!#$&'*+-.^_`|~"
"""Characters of a header's name that are neither letters nor digits (RFC 9110), but for ``%``."""


async def contexts(paths: str, *, files: Blocking) -> list[str]:
    """The names of the contexts in files joined by ``:``, in their order, read by ``files``.

    Raises:
        KubeConfigError: they are unusable, or have none.
        OSError: they cannot be read.
    """
    config = await files.call(read, paths)
    return list(config.contexts)


async def load(paths: str, context: str | None, *, files: Blocking) -> Access:
    """The access that a context of files joined by ``:`` describes; ``None``: the current context.

    Raises:
        KubeConfigError: they are unusable.
        OSError: a file cannot be read.
    """
    config = await files.call(read, paths)
    context = context or config.current
    if context not in config.contexts:
        lacking = f"context {printable(context)}" if context else "current context"
        text = f"the kubeconfig {paths} has no {lacking}"
        raise KubeConfigError(text, advice=f"--context is one of: {printable(', '.join(config.contexts))}")
    cluster = _part(config, context, "cluster", config.clusters, required=True)
    user = _part(config, context, "user", config.users, required=False)
    server = cluster.text("server")
    if not server:
        raise unusable(f"{cluster.what} names no server")
    if "://" not in server:
        # As client-go (`rest.DefaultServerURL`): TLS if the cluster says anything of certificates.
        secure = cluster.has(
            "certificate-authority", "certificate-authority-data", "insecure-skip-tls-verify"
        )
        server = f"{'https' if secure else 'http'}://{server}"
    server = _url(server, what=f"the server of {cluster.what}", schemes=("http", "https"), user=False)
    given = await _credentials(user, cluster, server=server)
    return await files.call(_access, cluster, user, server, given)


def _part(
    config: KubeConfig, context: str, kind: str, entries: Mapping[str, Entry], *, required: bool
) -> Entry:
    """The cluster or the user of a context; an empty entry if it names none and needs none."""
    chosen = config.contexts[context]
    name = chosen.text(kind)
    if name is None and not required:
        return Entry(what=f"the user of {chosen.what}", values={}, path=chosen.path)
    if name is None or name not in entries:
        named = f"names {kind} {printable(name)}, which is not there" if name else f"names no {kind}"
        raise unusable(f"{chosen.what} {named}")
    return entries[name]


def _url(text: str, *, what: str, schemes: Sequence[str], user: bool) -> str:
    """A URL that requests can be sent to.

    Raises:
        KubeConfigError: it is none; its text is not shown, since it may have a password.
    """
    try:
        url = URL(text)
        # Names that the resolver cannot encode.
        (url.host or "").encode("idna")
    except ValueError:
        raise unusable(f"{what} is no URL") from None
    if url.scheme not in schemes:
        raise unusable(f"{what} has the scheme {printable(url.scheme)}; it may be {' or '.join(schemes)}")
    if not url.host or not text.isprintable():
        raise unusable(f"{what} is no URL")
    if url.query_string or url.fragment or (url.user is not None and not user):
        raise unusable(f"{what} has a user, a query or a fragment; it is scheme, host, port and path")
    return text.rstrip("/")


async def _credentials(user: Entry, cluster: Entry, *, server: str) -> Credentials:
    """The credentials of the user, except for a certificate or a token in a file."""
    provider = user.mapping("auth-provider")
    token, name = user.text("token"), user.text("username")
    if token and name:
        raise unusable(f"{user.what} has both a token and a username")
    if provider and user.has("exec"):
        raise unusable(f"{user.what} has both an auth-provider and a credential plug-in (exec)")
    if token or user.has("tokenFile"):
        return Credentials(authorization=_header("Bearer", token, user))
    if name:
        pair = f"{name}:{user.text('password') or ''}".encode()
        return Credentials(authorization=_header("Basic", b64encode(pair).decode(), user))
    if user.has("exec"):
        return await credentials(user, cluster, server=server)
    if provider and not user.has(*_CERTIFICATE):
        # Of an auth-provider only the token is used that kubectl left in the file.
        kind = printable(provider.text("name"))
        config = provider.mapping("config")
        token = config.text("id-token") if config and kind == "oidc" else None
        if token is None:
            text = f"{provider.what} is {kind or 'nameless'}, which gives no token here"
            advice = "use a credential plug-in (exec); kubelogin convert-kubeconfig makes one of azure's"
            raise KubeConfigError(text, advice=advice)
        return Credentials(authorization=_header("Bearer", token, user))
    return Credentials()


def _header(scheme: str, value: str | None, user: Entry) -> str | None:
    value = (value or "").strip()
    if not value.isascii() or not (value or " ").isprintable():
        raise unusable(f"{user.what}: its token is no token")
    return f"{scheme} {value}" if value else None


def _access(cluster: Entry, user: Entry, server: str, given: Credentials) -> Access:
    """Address, credentials and TLS of the requests; blocking."""
    authority = cluster.data("certificate-authority-data")
    authority_file = None if authority else cluster.file("certificate-authority")
    insecure = cluster.flag("insecure-skip-tls-verify")
    if insecure and (authority or authority_file):
        raise unusable(f"{cluster.what} has both an authority and insecure-skip-tls-verify")
    with ExitStack() as stack:
        certificate, key = _certificate(user, given, stack)
        tls = tls_context(
            authority_file=_shown(authority_file),
            # Only ASCII counts between the lines of a certificate; what stands around it may be anything.
            authority=authority and authority.decode("ascii", "replace").replace("\ufffd", "?"),
            certificate_file=_shown(certificate),
            key_file=_shown(key),
            verify=not insecure,
        )
    token_file = user.file("tokenFile")
    try:
        if token_file is not None:
            read_token(token_file)
    except CredentialsError as error:
        raise unusable(error.args[0]) from error
    server_name = cluster.text("tls-server-name")
    try:
        (server_name or "").encode("idna")
    except ValueError:
        raise unusable(f"{cluster.what}: its tls-server-name is no name") from None
    proxy = cluster.text("proxy-url")
    return Access(
        server=server,
        tls=tls,
        token_file=token_file,
        fixed_authorization=given.authorization,
        server_name=server_name,
        proxy=proxy and _url(proxy, what=f"the proxy-url of {cluster.what}", schemes=_PROXIES, user=True),
        compression=not cluster.flag("disable-compression"),
        impersonation=_impersonation(user),
    )


def _shown(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _certificate(user: Entry, given: Credentials, stack: ExitStack) -> tuple[Path | None, Path | None]:
    """The files of the client's certificate and of its key, those made here removed with the stack.

    OpenSSL reads files only. The plug-in's own certificate goes before the user's.
    """
    certificate, key = given.certificate, given.key
    if certificate is None:
        certificate, key = user.data("client-certificate-data"), user.data("client-key-data")
    files: list[Path | None] = []
    for name, data in (("client-certificate", certificate), ("client-key", key)):
        if data is None:
            files.append(None if given.certificate else user.file(name))
            continue
        # Its folder is for its owner alone.
        path = Path(stack.enter_context(TemporaryDirectory(prefix="azure-lb-metadata-"))) / name
        path.write_bytes(data)
        files.append(path)
    if files[0] and not files[1]:
        raise unusable(f"{user.what} has a client certificate without its key")
    return files[0], files[1]


def _impersonation(user: Entry) -> list[tuple[str, str]]:
    """The headers that ask for somebody else's rights.

    https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation; names of
    extra fields are escaped as client-go does (``transport.headerKeyEscape``).
    """
    extra = user.mapping("as-user-extra") or Entry(user.what, {}, user.path)
    keys = {str(key): f"Impersonate-Extra-{quote(str(key), safe=_NAME)}" for key in extra.values}
    who = [(f"Impersonate-{name}", user.text(key)) for name, key in (("User", "as"), ("Uid", "as-uid"))]
    headers = [(name, value) for name, value in who if value is not None]
    headers += [("Impersonate-Group", group) for group in user.texts("as-groups")]
    headers += [(name, value) for key, name in keys.items() for value in extra.texts(key)]
    if headers and not user.text("as"):
        raise unusable(f"{user.what} has as-uid, as-groups or as-user-extra without as")
    if not all(value.isprintable() for _, value in headers):
        raise unusable(f"{user.what}: what it is to be asked as cannot be sent")
    return headers
