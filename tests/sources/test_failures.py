"""How a request ended that brought no response: the kind, and the words for people."""

import errno
import os
import socket

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from sidecar.core.outcome import Failure, FailureKind, Reason
from sidecar.sources.reading import TooLargeError, failure

KEY = ConnectionKey("imds", 80, False, True, None, None, None)  # noqa: FBT003 - positions of aiohttp's


def connecting(number: int) -> Exception:
    """A connection that the system could not make."""
    return aiohttp.ClientConnectorError(KEY, OSError(number, os.strerror(number)))


FAILURES: dict[str, tuple[Exception, FailureKind, str]] = {
    "refused": (connecting(errno.ECONNREFUSED), FailureKind.REFUSED, "cannot connect: Connection refused"),
    "no host": (connecting(errno.EHOSTUNREACH), FailureKind.NO_ROUTE, "cannot connect: No route to host"),
    "no network": (
        connecting(errno.ENETUNREACH),
        FailureKind.NO_ROUTE,
        "cannot connect: Network is unreachable",
    ),
    "dropped": (
        connecting(errno.ETIMEDOUT),
        FailureKind.NO_CONNECTION,
        "cannot connect: Connection timed out",
    ),
    "not permitted": (connecting(errno.EPERM), FailureKind.RESET, "cannot connect: Operation not permitted"),
    "name": (
        aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(socket.EAI_NONAME, "Name or service not known")),
        FailureKind.UNKNOWN_NAME,
        "cannot resolve imds: Name or service not known",
    ),
    "no connection": (
        aiohttp.ConnectionTimeoutError(),
        FailureKind.NO_CONNECTION,
        "no connection within the time-out",
    ),
    "no answer": (TimeoutError(), FailureKind.NO_ANSWER, "no complete answer within the time-out"),
    "reset": (
        aiohttp.ClientOSError(errno.ECONNRESET, "Connection reset by peer"),
        FailureKind.RESET,
        "Connection reset by peer",
    ),
    "closed": (
        aiohttp.ServerDisconnectedError(),
        FailureKind.RESET,
        "the connection was closed before an answer",
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_unreachable(name: str) -> None:
    """Each way in which a service is out of reach has its kind and its words."""
    error, kind, detail = FAILURES[name]

    assert failure(error) == Failure(Reason.UNREACHABLE, detail=detail, kind=kind)


def test_broken() -> None:
    """What is no HTTP, and what is too large, is a broken response."""
    for error in (TooLargeError("the body is larger"), aiohttp.ClientPayloadError("cut short")):
        assert (failure(error).reason, failure(error).kind) == (Reason.MALFORMED, FailureKind.BROKEN)
