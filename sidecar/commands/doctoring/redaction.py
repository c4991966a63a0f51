"""Hides what looks like a secret in what comes from elsewhere; rather too much than too little.

Every repetition is bounded or takes what it has matched, so that megabytes of any content take linear time.
"""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterable

__all__ = ["HIDDEN", "clean"]

HIDDEN = "(hidden)"

_HIDDEN = HIDDEN.encode()

_NAMES = (
    rb"secret|password|passwd|passphrase|pwd|token|assertion|api[_-]?key|access[_-]?key|account[_-]?key"
    rb"|sharedaccesskey|(?<![a-z])sig|signature|credentials?|authorization|cookie"
)
"""How names end whose values are secret: ``client_secret``, ``refresh_token``, ``SharedAccessKey``, a SAS's
``sig`` (https://learn.microsoft.com/rest/api/storageservices/create-service-sas)."""

_JSON_WEB_TOKEN = re.compile(rb"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*")
"""RFC 7519; a service account's token is one."""

_SCHEMES = re.compile(rb"(?i)\b((?:bearer|negotiate)(?:[ \t+]|%20){1,8})[A-Za-z0-9._~+/%=-]{8,}")
"""RFC 6750, and RFC 4559; shorter ones are words."""

_BASIC = re.compile(rb"(?i)\b(basic(?:[ \t+]|%20){1,8})([A-Za-z0-9+/_-]{2,}(?:=|%3d){0,2})")
"""RFC 7617."""

_QUOTED = re.compile(rb"(?i)(?:" + _NAMES + rb")\\{0,31}[\"']?\s{0,9}[:=]\s{0,9}(\\{0,31})([\"'])")
"""Up to the quote before a value; JSON within JSON has backslashes before it."""

_QUOTES = {quote: re.compile(rb"(\\*)" + quote) for quote in (b'"', b"'")}

_ASSIGNED = re.compile(rb"(?i)((?:" + _NAMES + rb")(?:=|%3d))[^\s&;,\"'\\<>(]+")
"""In a query, a form, a connection string or a variable."""

_URL = re.compile(rb"(:(?:\\{0,3}/){2})(?:[^\s\"'@/:]{0,512}@|[^\s\"'@/:]{0,512}:[^\s\"'<>]{0,1024}@)")
"""What a URL has before its last ``@``: a password may have a slash or an ``@`` that nobody quoted."""

_PAIR = re.compile(
    rb"(?<![\w.@/:%-])[^\s\"'/:@=<>(){},;\\]{1,256}:(?!\\{0,3}/\\{0,3}/)[^\s\"'@<>\\]{1,512}@(?=[\w\[.-])"
)
"""``user:password@proxy`` without a scheme, as proxies are often set."""


def clean(content: bytes, secrets: Iterable[str]) -> bytes:
    """Content without these secrets, and without what looks like one."""
    for secret in filter(None, secrets):
        content = content.replace(secret.encode(), _HIDDEN)
    content = _JSON_WEB_TOKEN.sub(_HIDDEN, content)
    content = _without_quoted(content)
    content = _ASSIGNED.sub(rb"\1" + _HIDDEN, content)
    content = _SCHEMES.sub(rb"\1" + _HIDDEN, content)
    content = _BASIC.sub(_basic, content)
    content = _URL.sub(rb"\1" + _HIDDEN + b"@", content)
    return _PAIR.sub(_HIDDEN + b"@", content)


def _without_quoted(content: bytes) -> bytes:
    """Hides values in quotes; the quotes stay. Of one that has no end, all that follows is hidden."""
    kept: list[bytes] = []
    at = 0
    while found := _QUOTED.search(content, at):
        kept += content[at : found.end()], _HIDDEN
        at = _end(content, found.end(), level=len(found.group(1)) + 1, quote=found.group(2))
    return b"".join([*kept, content[at:]])


def _end(content: bytes, start: int, *, level: int, quote: bytes) -> int:
    """Where a value ends: at a quote that the value itself does not escape.

    With JSON in JSON in JSON every level doubles the backslashes: the quote has one less than ``level``,
    a backslash of the value twice ``level``, and a quote of the value those of both halved.
    """
    for found in _QUOTES[quote].finditer(content, start):
        slashes = len(found.group(1)) - (level - 1)
        if slashes >= 0 and slashes % (2 * level) == 0:
            return found.end() - level
    return len(content)


def _basic(found: re.Match[bytes]) -> bytes:
    """Hides name and password; a load balancer's "Basic SKU" stays."""
    value = found.group(2).partition(b"%")[0].rstrip(b"=")
    try:
        decoded = b64decode(
            value + b"=" * (-len(value) % 4), altchars=b"-_" if b"-" in value or b"_" in value else None
        )
    except (Base64Error, ValueError):
        decoded = b""
    secret = b":" in decoded or len(value) >= 16
    return found.group(1) + _HIDDEN if secret else found.group(0)
