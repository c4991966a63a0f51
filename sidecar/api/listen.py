"""Sockets to listen on, bound before anything else starts, so that a taken port ends the start."""

import errno
import socket
import stat
from pathlib import Path

from sidecar.core.listen import ListenAddress
from sidecar.errors import ListenError

__all__ = ["bind"]

_NO_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)
"""How a kernel without IPv6 refuses an IPv6 socket."""

_STALLED_CLIENT_MS = 30_000
"""How long a client may leave what it was sent unread before its connection is given up."""


def bind(address: ListenAddress, *, setting: str) -> list[socket.socket]:
    """Bind the sockets for an address, without listening yet.

    Args:
        address: Where to listen.
        setting: The setting that says so, for the advice in errors.

    Raises:
        ListenError: the address cannot be had.
    """
    try:
        return [_bind_path(Path(address.path)) if address.path else _bind_tcp(address)]
    except OSError as error:
        raise ListenError(
            f"cannot listen on {address} ({error.strerror or error})", advice=_advice(error.errno, setting)
        ) from error


def _advice(error_number: int | None, setting: str) -> str:
    match error_number:
        case errno.EADDRINUSE:
            return f"something else listens there; stop it, or choose another address with {setting}"
        case errno.EACCES | errno.EPERM:
            return f"this user may not; choose a port above 1023 or another path with {setting}"
        case errno.EADDRNOTAVAIL:
            return f"this machine does not have that address; choose another one with {setting}"
        case _:
            return f"choose another address with {setting}"


def _bind_tcp(address: ListenAddress) -> socket.socket:
    if address.host is not None:
        family = socket.AF_INET6 if address.host.version == 6 else socket.AF_INET
        return _bound(family, (str(address.host), address.port), dual_stack=False)
    try:
        # One socket for both families: IPv4 clients appear as IPv4-mapped addresses.
        return _bound(socket.AF_INET6, ("::", address.port), dual_stack=True)
    except OSError as error:
        if error.errno not in _NO_FAMILY:
            raise
        return _bound(socket.AF_INET, ("0.0.0.0", address.port), dual_stack=False)


def _bound(family: socket.AddressFamily, name: tuple[str, int], *, dual_stack: bool) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.settimeout(0)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit it. It bounds unread answers too (tcp(7)).
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STALLED_CLIENT_MS)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not dual_stack)
        bound.bind(name)
    except OSError:
        bound.close()
        raise
    return bound


def _bind_path(path: Path) -> socket.socket:
    """Bind a Unix socket; one that nobody listens on any more gives way."""
    _remove_stale(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.settimeout(0)
        bound.bind(str(path))
        # Containers of a pod run as different users, and what is read here is for all of them.
        path.chmod(0o666)
    except OSError:
        bound.close()
        raise
    return bound


def _remove_stale(path: Path) -> None:
    """Remove a socket that refuses connections; anything else stays, and binding fails on it."""
    try:
        mode = path.stat(follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)
        if probe.connect_ex(str(path)) == errno.ECONNREFUSED:
            path.unlink(missing_ok=True)
