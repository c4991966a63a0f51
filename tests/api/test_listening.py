"""Binding: taken ports, families, and Unix sockets with their leftovers."""

import socket
import stat
from pathlib import Path

import pytest
from aiohttp import ClientSession, UnixConnector

from sidecar.api.sockets import serving
from sidecar.errors import ExitCode, ListenError
from tests.api.support import answer_ok, socket_on


async def status_at(url: str) -> int:
    """The status that a URL answers with."""
    async with ClientSession() as session, session.get(url) as response:
        return response.status


def test_taken_port() -> None:
    """A taken port is an error that names the setting, and ends the start with exit code 1."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ListenError) as raised:
            socket_on(f"127.0.0.1:{port}")

    assert f"127.0.0.1:{port}" in str(raised.value)
    assert "--listen" in raised.value.advice
    assert raised.value.exit_code is ExitCode.FAILED


def test_taken_port_of_one_family() -> None:
    """Listening on both families needs the port in both."""
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(ListenError):
        socket_on(f":{other.getsockname()[1]}")


def test_foreign_address() -> None:
    """An address that is not this machine's is an error with advice."""
    with pytest.raises(ListenError, match="does not have that address"):
        socket_on("192.0.2.1:0")


async def test_both_families() -> None:
    """Without an address the API is there over IPv4 and IPv6 on one port."""
    async with serving(answer_ok, socket_on(":0")) as addresses:
        port = addresses[0][1]
        statuses = [await status_at(f"http://{host}:{port}/") for host in ("127.0.0.1", "[::1]")]

    assert statuses == [200, 200]


async def test_ipv6_alone() -> None:
    """[::] is IPv6 only."""
    async with serving(answer_ok, socket_on("[::]:0")) as addresses:
        port = int(addresses[0][1])
        status = await status_at(f"http://[::1]:{port}/")
        with socket.socket() as client:
            refused = client.connect_ex(("127.0.0.1", port))

    assert (status, refused != 0) == (200, True)


async def test_nothing_to_serve() -> None:
    """No sockets are fine."""
    async with serving(answer_ok, []) as addresses:
        assert addresses == ()


async def test_port_is_free_afterwards() -> None:
    """After the end the same port can be had again at once."""
    async with serving(answer_ok, socket_on("127.0.0.1:0")) as addresses:
        port = addresses[0][1]
        await status_at(f"http://127.0.0.1:{port}/")
    async with serving(answer_ok, socket_on(f"127.0.0.1:{port}")):
        assert await status_at(f"http://127.0.0.1:{port}/") == 200


async def test_unix_socket(tmp_path: Path) -> None:
    """A Unix socket is open to every user of the pod, answers, and is removed at the end."""
    path = tmp_path / "agent.sock"
    async with serving(answer_ok, socket_on(f"unix:{path}")) as addresses:
        mode = stat.S_IMODE(path.stat().st_mode)
        async with (
            ClientSession(connector=UnixConnector(str(path))) as session,
            session.get("http://agent/") as response,
        ):
            status = response.status

    assert addresses == (str(path),)
    assert (status, mode, path.exists()) == (200, 0o666, False)


def test_stale_unix_socket(tmp_path: Path) -> None:
    """A socket that nobody listens on any more is replaced."""
    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))

    [bound] = socket_on(f"unix:{path}")
    with bound:
        bound.listen()
        with socket.socket(socket.AF_UNIX) as client:
            assert client.connect_ex(str(path)) == 0


def test_live_unix_socket(tmp_path: Path) -> None:
    """A socket that somebody listens on is left alone, and an error."""
    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(ListenError, match="something else listens there"):
            socket_on(f"unix:{path}")

    assert path.exists()


def test_file_in_place_of_a_socket(tmp_path: Path) -> None:
    """A file is never replaced."""
    path = tmp_path / "precious"
    path.write_text("kept")
    with pytest.raises(ListenError):
        socket_on(f"unix:{path}")

    assert path.read_text() == "kept"


def test_missing_folder(tmp_path: Path) -> None:
    """A path that cannot be is an error that names the setting."""
    with pytest.raises(ListenError, match="choose another address with --listen"):
        socket_on(f"unix:{tmp_path}/missing/agent.sock")
