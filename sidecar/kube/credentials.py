"""What a connection to one API server is made with: address, token and TLS."""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.blocking import BlockedError, Blocking, read_regular
from sidecar.kube.errors import CredentialsError, KubeConfigError, describe

TOKEN_LIMIT = 65_536
"""Bytes that a token file may have: more than any header."""

FILE_TIMEOUT = 5.0
"""Seconds that reading credentials may take: less than a request, whose time would pass without a word."""

_MOUNT_ADVICE = "see that the service account's token is mounted and readable"

CONFIGURATION_ADVICE = "set --kubeconfig and --context, or --no-annotations to do without the Kubernetes API"
"""The remedy for every configuration that is missing or unusable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach one API server."""

    server: str
    """Its URL, to which paths from the first slash on are added."""
    tls: ssl.SSLContext
    """Verifies the server, and has the client's certificate if there is one."""
    token_file: Path | None = None
    """Holds the bearer token, and changes from time to time; ``None`` when there is no such file."""
    fixed_authorization: str | None = None
    """The header ``Authorization`` where there is no such file; ``None``: none is sent."""
    server_name: str | None = None
    """What the server's certificate is for, where that is not the host of its URL."""
    proxy: str | None = None
    """URL of an HTTP proxy that the configuration names; one of the environment is never used."""
    files: Blocking = field(default_factory=lambda: Blocking(FILE_TIMEOUT), repr=False, compare=False)
    """Reads the files of credentials."""
    compression: bool = True
    """Whether answers may be compressed."""
    impersonation: Sequence[tuple[str, str]] = ()
    """Headers of each request that ask for somebody else's rights; a name may come several times."""

    async def authorization(self) -> str | None:
        """The header ``Authorization`` as it is to be now.

        Raises:
            CredentialsError: the token's file cannot be read in time, or holds none.
        """
        if self.token_file is None:
            return self.fixed_authorization
        try:
            return f"Bearer {await self.files.call(read_token, self.token_file)}"
        except BlockedError as error:
            raise _unreadable(self.token_file, error) from error


def read_token(path: Path) -> str:
    """Read a bearer token; blocking.

    Raises:
        CredentialsError: it cannot be read, or is no token.
    """
    try:
        content = read_regular(path, limit=TOKEN_LIMIT)
    except OSError as error:
        raise _unreadable(path, error) from error
    token = content.decode("ascii", "replace").strip()
    if (
        len(content) > TOKEN_LIMIT
        or not token
        or not token.isascii()
        or not token.isprintable()
        or " " in token
    ):
        raise CredentialsError(f"the token file {path} holds no token", advice=_MOUNT_ADVICE)
    return token


def _unreadable(path: Path, error: OSError) -> CredentialsError:
    return CredentialsError(f"the token file {path} cannot be read: {describe(error)}", advice=_MOUNT_ADVICE)


def tls_context(
    *,
    authority_file: str | None = None,
    authority: str | bytes | None = None,
    certificate_file: str | None = None,
    key_file: str | None = None,
    verify: bool = True,
) -> ssl.SSLContext:
    """What a connection is made with; blocking. Without an authority, those of the system are trusted.

    ``VERIFY_X509_STRICT``, which Python 3.13 turned on, refuses authorities of clusters that Go and
    earlier Pythons accept (kubernetes-client/python issue 2394); all else is verified as before.

    Raises:
        KubeConfigError: a file is missing, unreadable, no certificate, or a key with a passphrase.
    """
    source = authority_file or "certificate-authority-data"
    try:
        context = ssl.create_default_context(cafile=authority_file, cadata=authority)
        if certificate_file:
            source = certificate_file
            context.load_cert_chain(certificate_file, keyfile=key_file, password=_passphrase)
    except (OSError, ValueError) as error:
        raise unusable(f"{source}: {describe(error)}") from error
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _passphrase() -> str:
    """OpenSSL itself would ask at the terminal, of an agent too."""
    raise ValueError("its key has a passphrase")


def unusable(why: str) -> KubeConfigError:
    """The error of a configuration that is there and cannot be used; a path may have any character."""
    why = "".join(each if each.isprintable() else " " for each in why)
    return KubeConfigError(f"the Kubernetes configuration is unusable: {why}", advice=CONFIGURATION_ADVICE)
