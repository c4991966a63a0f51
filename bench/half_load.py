"""How long ``/v1/loadbalancer`` takes at half load, beside a bare aiohttp handler and nginx.

``make bench-load``, about five minutes. Half load is half the requests per second that the agent answers
when it is asked as fast as can be; requests are due at fixed times, and each is timed from when it was due,
also where its connection still waited for the one before. nginx is there for the record, if it is installed
(``apt-get install nginx-light``).

All answer the same bytes and take turns of a quarter of a second, in any order, so that a stall of the
machine spoils few turns: p50 and p99 are medians of all turns, and the p99 of all requests stands beside. A
second bare handler shows how far equal servers seem to be apart. The client has a processor of its own,
where there are two, and never sleeps: else what is measured are its timers, which ring at whole milliseconds.
"""

import asyncio
import gc
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from itertools import chain
from pathlib import Path

from bench.processes import answered, free_port
from bench.servers import Server, agent_with_history, bare_handler, connected, recorded, request_of

_PATH = "/v1/loadbalancer"
_REQUEST = request_of(_PATH)
_CONNECTIONS = 8
_BARE = "bare aiohttp handler"
_FULL_SECONDS = 2.0
_TURNS = 240
_TURN_SECONDS = 0.25

_NGINX = """
daemon off; master_process off; pid {directory}/nginx.pid; error_log stderr;
events {{}}
http {{
  access_log off; default_type application/json; keepalive_requests 1000000;
  client_body_temp_path {directory}/a; proxy_temp_path {directory}/b; fastcgi_temp_path {directory}/c;
  uwsgi_temp_path {directory}/d; scgi_temp_path {directory}/e;
  server {{ listen 127.0.0.1:{port}; location = {path} {{ alias {directory}/body; }} }}
}}
"""


async def _rate(server: Server) -> float:
    """Requests per second that it answers when each client asks as soon as it can."""
    ends = time.perf_counter() + _FULL_SECONDS

    async def client() -> int:
        count = 0
        async with connected(server) as connection:
            while time.perf_counter() < ends:
                await connection.ask(_REQUEST)
                count += 1
        return count

    return sum(await asyncio.gather(*(client() for _ in range(_CONNECTIONS)))) / _FULL_SECONDS


async def _latencies(server: Server, rate: float) -> list[float]:
    """Seconds from when each request was due to its answer, sorted."""
    began = time.perf_counter() + 0.05

    async def client(number: int) -> list[float]:
        took = []
        async with connected(server) as connection:
            await connection.ask(_REQUEST)  # the first one of a connection is not timed
            for index in range(number, int(rate * _TURN_SECONDS), _CONNECTIONS):
                due = began + index / rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                await connection.ask(_REQUEST)
                took.append(time.perf_counter() - due)
        return took

    async with _awake():
        rows = await asyncio.gather(*(client(number) for number in range(_CONNECTIONS)))
    return sorted(value for row in rows for value in row)


@asynccontextmanager
async def _awake() -> AsyncIterator[None]:
    """Keep the event loop from sleeping: its timers are then as exact as a turn of it is short."""

    async def spin() -> None:
        while True:  # noqa: ASYNC110 - nothing is waited for
            await asyncio.sleep(0)

    spinning = asyncio.create_task(spin())
    try:
        yield
    finally:
        spinning.cancel()


@contextmanager
def _nginx(directory: Path) -> Iterator[Server]:
    port = free_port()
    configuration = directory / "nginx.conf"
    configuration.write_text(_NGINX.format(directory=directory, port=port, path=_PATH))
    with subprocess.Popen(
        ["nginx", "-c", configuration, "-p", directory], stderr=subprocess.DEVNULL
    ) as process:
        try:
            server = Server(port, process.pid)
            answered(server.url(_PATH))
            yield server
        finally:
            process.terminate()


def _servers(agent: Server, directory: Path, stack: ExitStack) -> Iterator[tuple[str, Server]]:
    yield "agent", agent
    answer = recorded(agent, _PATH)
    for name in (_BARE, f"{_BARE}, again"):
        yield name, stack.enter_context(bare_handler(_PATH, answer, file=directory / "body"))
    if shutil.which("nginx"):
        yield "nginx", stack.enter_context(_nginx(directory))


def _spread(servers: Iterable[Server]) -> None:
    """Give the client and the servers a processor each, if there are two."""
    first, *others = sorted(os.sched_getaffinity(0))
    if others:
        os.sched_setaffinity(0, {first})
        for server in servers:
            for thread in Path(f"/proc/{server.pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), set(others))


async def _measure(servers: dict[str, Server]) -> tuple[dict[str, float], dict[str, list[list[float]]]]:
    """Requests per second at full load, and the latencies of each turn at half load."""
    rates = {name: await _rate(server) for name, server in servers.items()}
    turns: dict[str, list[list[float]]] = {name: [] for name in servers}
    for _ in range(_TURNS):
        for name, server in random.sample(list(servers.items()), len(servers)):
            turns[name].append(await _latencies(server, rates["agent"] / 2))
    return rates, turns


def _percentile(values: Sequence[float], part: float) -> float:
    """Of sorted seconds, in milliseconds."""
    return 1000 * values[int(part * (len(values) - 1))]


def _median(turns: Sequence[Sequence[float]], part: float) -> float:
    """The median of a percentile of each turn, in milliseconds."""
    return statistics.median(_percentile(values, part) for values in turns)


def _print(rates: Mapping[str, float], turns: Mapping[str, Sequence[Sequence[float]]]) -> None:
    print(f"{_PATH}, 250 rules, {_CONNECTIONS} connections; half load is {rates['agent'] / 2:.0f} requests/s")
    print(
        f"{'':<28}{'full load, requests/s':>24}{'p50 ms':>9}{'p99 ms':>9}{'times bare':>12}{'p99 of all':>12}"
    )
    for name, rate in rates.items():
        p50, p99 = _median(turns[name], 0.5), _median(turns[name], 0.99)
        ratio, every = p99 / _median(turns[_BARE], 0.99), _percentile(sorted(chain(*turns[name])), 0.99)
        print(f"{name:<28}{rate:>24.0f}{p50:>9.2f}{p99:>9.2f}{ratio:>12.2f}{every:>12.2f}")


def main() -> None:
    """Start the servers, measure, print."""
    with tempfile.TemporaryDirectory() as directory, agent_with_history() as agent, ExitStack() as stack:
        Path(directory).chmod(0o755)
        servers = dict(_servers(agent, Path(directory), stack))
        _spread(servers.values())
        gc.disable()  # the client's: its pauses would be taken for the servers'
        rates, turns = asyncio.run(_measure(servers))
    _print(rates, turns)


if __name__ == "__main__":
    main()
