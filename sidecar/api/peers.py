"""The client of a request: its address, and the host name it used."""

import contextlib
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from aiohttp import web

from sidecar.core.addresses import IPAddress


def address_of(peer: object) -> IPAddress | None:
    """The address of a peer as sockets name it; ``None`` for Unix sockets.

    IPv4 clients of a socket for both families have theirs mapped into IPv6: they are IPv4 again.
    """
    if not isinstance(peer, tuple):
        return None
    address = ip_address(str(peer[0]).partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def peer_of(request: web.BaseRequest) -> str | None:
    """The address of another pod or machine; ``None`` for Unix sockets and loopback, the own pod or node."""
    transport = request.transport
    address = None if transport is None else address_of(transport.get_extra_info("peername"))
    return None if address is None or address.is_loopback else str(address)


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
