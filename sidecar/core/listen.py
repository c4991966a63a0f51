"""Where to listen, as the settings write it."""

from dataclasses import dataclass
from ipaddress import IPv6Address

from sidecar.core.addresses import IPAddress, endpoint, is_port, parse_address

_PATH_LENGTH = 107
"""Bytes of a Unix socket's path; ``sun_path`` has 108 with the closing zero (unix(7))."""

_OF_HOST = "host"


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A TCP address and port, or the path of a Unix socket."""

    host: IPAddress | None
    """``None``: all addresses of both families."""
    port: int
    """0: any free port."""
    path: str = ""
    """The path of a Unix socket; ``host`` and ``port`` are unused then."""
    of_host: bool = False
    """The node's own address, which is another setting; ``host`` is unused then."""

    def at(self, node_address: IPAddress | None) -> "ListenAddress":
        """This address, with the node's own one filled in where it is meant."""
        return ListenAddress(host=node_address, port=self.port) if self.of_host else self

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        if self.of_host:
            return f"{_OF_HOST}:{self.port}"
        if self.host is None:
            return f":{self.port}"
        return endpoint(self.host, self.port)


def parse_listen(text: str) -> ListenAddress | None:
    """Read ``127.0.0.1:16925``, ``:16925``, ``[::1]:16925`` or ``unix:/path``; ``none`` is ``None``.

    ``host:16925`` is the node's own address, whichever family that is of.

    Raises:
        ValueError: anything else; the text is a sentence for the person who wrote the setting.
    """
    if text == "none":
        return None
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/") or "\0" in path:
            raise ValueError(f"the path of a Unix socket starts with a slash, {path!r} does not")
        if len(path.encode(errors="surrogateescape")) > _PATH_LENGTH:
            raise ValueError(f"the path of a Unix socket has at most {_PATH_LENGTH} bytes")
        return ListenAddress(host=None, port=0, path=path)
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError(f"{text!r} has no port: write ADDRESS:PORT, :PORT, unix:/PATH or none")
    if host == _OF_HOST:
        return ListenAddress(host=None, port=_port(port), of_host=True)
    if not host:
        return ListenAddress(host=None, port=_port(port))
    try:
        address = parse_address(host)
    except ValueError:
        raise ValueError(f"{host!r} is not an IP address (names are not looked up)") from None
    if isinstance(address, IPv6Address) and not host.startswith("["):
        raise ValueError(f"write an IPv6 address in brackets: [{address}]")
    return ListenAddress(host=address, port=_port(port))


def _port(text: str) -> int:
    if not is_port(text):
        raise ValueError(f"{text!r} is not a port: write a number from 0 to 65535")
    return int(text)
