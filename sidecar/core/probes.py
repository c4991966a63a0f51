"""Egress probes: servers elsewhere that answer with the address that a connection came from."""

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address
from urllib.parse import urlsplit

from sidecar.core.addresses import PRIVATE_NETWORKS, IPAddress, endpoint, is_in, parse_address
from sidecar.core.parsing import error_object

_LONGEST_URL = 512
"""Characters."""

_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_]([-a-z0-9_]*[a-z0-9])?(\.[a-z0-9_]([-a-z0-9_]*[a-z0-9])?)*\.?"
)
_PATH = re.compile(r"/[!-~]*")


class Transport(StrEnum):
    """What a probe is reached over; Azure may translate each by another address."""

    UDP = "udp"
    """STUN over UDP."""
    TCP = "tcp"
    """STUN over TCP."""
    HTTPS = "https"


_TRANSPORTS = {"stun": Transport.UDP, "stun+tcp": Transport.TCP, "https": Transport.HTTPS}
_DEFAULT_PORTS = {Transport.UDP: 3478, Transport.TCP: 3478, Transport.HTTPS: 443}


@dataclass(frozen=True, slots=True)
class Probe:
    """A server that is asked, as ``--egress-probe`` names it."""

    transport: Transport
    host: str
    """A name in lower case, or an address without brackets."""
    port: int
    path: str = ""
    """Of HTTPS: path and query."""

    @property
    def address(self) -> IPAddress | None:
        """The host where it is an address; ``None``: a name, which is resolved at each round."""
        try:
            return parse_address(self.host)
        except ValueError:
            return None

    @property
    def authority(self) -> str:
        """Host and port as a URL has them."""
        address = self.address
        return f"{self.host}:{self.port}" if address is None else endpoint(address, self.port)

    def __str__(self) -> str:
        if self.transport is Transport.HTTPS:
            return f"https://{self.authority.removesuffix(':443')}{self.path}"
        return f"{'stun' if self.transport is Transport.UDP else 'stun+tcp'}:{self.authority}"


def parse_probe(text: str) -> Probe:
    """Read ``stun:HOST[:PORT]``, ``stun+tcp:HOST[:PORT]`` (RFC 7064) or ``https://HOST[:PORT]/PATH``.

    Raises:
        ValueError: anything else; the text is a sentence for the person who wrote the setting.
    """
    forms = "stun:HOST[:PORT], stun+tcp:HOST[:PORT] or https://HOST/PATH"
    scheme, colon, rest = text.partition(":")
    transport = _TRANSPORTS.get(scheme.lower())
    if not colon or transport is None or len(text) > _LONGEST_URL:
        raise ValueError(f"{text[:80]!r} is not a probe: write {forms}")
    path = ""
    if transport is Transport.HTTPS:
        parts = urlsplit(text)
        if "@" in parts.netloc:
            raise ValueError("a probe's URL must not hold credentials: arguments can be read by others")
        if not rest.startswith("//") or "#" in text:
            raise ValueError(f"{text!r} is not a probe: write {forms}")
        rest, path = parts.netloc, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if _PATH.fullmatch(path) is None:
            raise ValueError(f"{path!r} is not a path of printable ASCII")
    host, port = _host_and_port(rest, default=_DEFAULT_PORTS[transport])
    return Probe(transport, host, port, path)


def _host_and_port(text: str, *, default: int) -> tuple[str, int]:
    if text.startswith("["):
        host, bracket, after = text[1:].partition("]")
        if not bracket:
            raise ValueError(f"{text!r} has no closing bracket")
        colon, port = after[:1], after[1:]
        if after and colon != ":":
            raise ValueError(f"{text!r} is not [ADDRESS]:PORT")
    else:
        host, colon, port = text.partition(":")
        if ":" in port:
            raise ValueError(f"{text!r}: write an IPv6 address in brackets, [{text}]")
    try:
        address = parse_address(host)
    except ValueError:
        host = host.lower()
        # A last label of digits is an address gone wrong, which resolvers read in ways of their own.
        if (
            text.startswith("[")
            or _HOST_NAME.fullmatch(host) is None
            or host.rstrip(".").split(".")[-1].isdigit()
        ):
            raise ValueError(f"{host!r} is neither an address nor a name") from None
    else:
        if isinstance(address, IPv6Address) and not text.startswith("["):
            raise ValueError(f"write an IPv6 address in brackets, [{address}]")
        if not is_possible(address):
            raise ValueError(f"{address} is not the address of a server")
        host = str(address)
    if not colon:
        return host, default
    if not port.isascii() or not port.isdigit() or not 1 <= int(port[:6]) <= 65535:
        raise ValueError(f"{port!r} is not a port: write a number from 1 to 65535")
    return host, int(port)


class FlowFailure(StrEnum):
    """Why a flow brought no address: the same words in answers, metrics and logs."""

    UNKNOWN_NAME = "unknown-name"
    """The probe's name has no address, or no resolver answered."""
    NO_ROUTE = "no-route"
    REFUSED = "refused"
    """Nothing listens there, or something on the way says no."""
    NO_ANSWER = "no-answer"
    """Nothing came back in time: dropped on the way, or the probe is away."""
    CERTIFICATE = "certificate"
    """Of HTTPS: not trusted, outdated, or another host's."""
    REJECTED = "rejected"
    """The probe answered with a STUN error or an HTTP status that is not 200."""
    MALFORMED = "malformed"
    """The answer holds no address that a connection can come from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One flow to a probe, from a port of its own, and what it brought: an address or a failure."""

    probe: Probe
    family: int
    """4 or 6: of the addresses that the flow itself is between."""
    address: IPAddress | None = None
    """Where the probe saw it come from."""
    own: IPAddress | None = None
    """The address at this end; ``None`` where no connection was made."""
    failure: FlowFailure | None = None
    detail: str = ""
    """Of a failure: one line of printable ASCII, of bounded length."""

    @property
    def inside(self) -> bool:
        """Whether the probe is on this side of the translation: it saw an own or a private address."""
        if self.address is None:
            return False
        return self.address == self.own or is_in(self.address, PRIVATE_NETWORKS)


def is_possible(address: IPAddress) -> bool:
    """Whether a connection can come from it: a unicast address, loopback included."""
    mapped = isinstance(address, IPv6Address) and address.ipv4_mapped is not None
    reserved = address.version == 4 and (int(address) >> 28 == 0xF or int(address) >> 24 == 0)
    return not (address.is_unspecified or address.is_multicast or mapped or reserved)


class ProbeRejectedError(Exception):
    """The probe answered with an error; the text is a line of printable ASCII, of bounded length."""


class MalformedAnswerError(Exception):
    """No answer to what was asked, or none with an address that a connection can come from.

    The text is a line of printable ASCII, of bounded length.
    """


def address_in_body(body: bytes) -> IPAddress:
    """The address in an answer over HTTPS: as text with white space around it, or as ``ip`` of a JSON object.

    Raises:
        MalformedAnswerError: it is neither, or an address that is not :func:`is_possible`.
    """
    text = body.strip()
    value = error_object(text).get("ip") if text.startswith(b"{") else text.decode("latin-1")
    try:
        address = parse_address(value)
    except ValueError:
        raise MalformedAnswerError("the body is no address, and no JSON object with one as ip") from None
    if not is_possible(address):
        raise MalformedAnswerError(f"no connection comes from {address}")
    return address
