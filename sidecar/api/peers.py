"""The client of a request: its address, and the host name it used."""

import contextlib
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from aiohttp import web


def peer_of(request: web.BaseRequest) -> str | None:
    """The address of another pod or machine; ``None`` for Unix sockets and loopback, the own pod or node."""
    transport = request.transport
    peer = None if transport is None else transport.get_extra_info("peername")
    if not isinstance(peer, tuple):
        return None
    address = ip_address(str(peer[0]).partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return None if address.is_loopback else str(address)


def is_own_host(host: str) -> bool:
    """Whether a ``Host`` cannot be a name that a stranger has made to lead here (DNS rebinding).

    That is an IP address, ``localhost``, a name without a dot, and the names of Services in a cluster whose
    domain ends in ``local`` or ``internal``.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    with contextlib.suppress(ValueError):
        ip_address(name.partition("%")[0])
        return True
    labels = name.rstrip(".").lower().split(".")
    if len(labels) == 1 or labels[-1] in {"localhost", "svc"}:
        return True
    # SERVICE.NAMESPACE.svc.DOMAIN: a domain of the cluster's own is none of the public ones.
    return len(labels) > 3 and labels[2] == "svc" and labels[-1] in {"local", "internal"}
