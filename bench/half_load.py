"""How long ``/v1/loadbalancer`` takes at half load, beside a bare aiohttp handler and nginx.

``make bench-load``. The same bytes for all three, which take turns. Half load is half the requests per
second that the agent answers when it is asked as fast as can be; requests are sent at fixed times,
whether or not earlier ones have been answered, and each is timed from when it was due. nginx is there
for the record, if it is installed (``apt-get install nginx-light``).
"""

import asyncio
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.processes import answered, free_port
from bench.servers import Server, agent_with_history, bare_handler, connected, recorded, request_of

_PATH = "/v1/loadbalancer"
_REQUEST = request_of(_PATH)
_CONNECTIONS = 8
_ROUNDS = 9
_SECONDS = 2.0

_NGINX = """
daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log stderr;
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
    ends = time.perf_counter() + _SECONDS

    async def client() -> int:
        count = 0
        async with connected(server) as connection:
            while time.perf_counter() < ends:
                await connection.ask(_REQUEST)
                count += 1
        return count

    return sum(await asyncio.gather(*(client() for _ in range(_CONNECTIONS)))) / _SECONDS


async def _latencies(server: Server, rate: float) -> list[float]:
    """Seconds from when each request was due to its answer, sorted."""
    began = time.perf_counter() + 0.05

    async def client(number: int) -> list[float]:
        took = []
        async with connected(server) as connection:
            for index in range(number, int(rate * _SECONDS), _CONNECTIONS):
                due = began + index / rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                await connection.ask(_REQUEST)
                took.append(time.perf_counter() - due)
        return took

    rows = await asyncio.gather(*(client(number) for number in range(_CONNECTIONS)))
    return sorted(value for row in rows for value in row)


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
    bare = bare_handler(_PATH, recorded(agent, _PATH), file=directory / "body")
    yield "bare aiohttp handler", stack.enter_context(bare)
    if shutil.which("nginx"):
        yield "nginx", stack.enter_context(_nginx(directory))


async def _measure(servers: dict[str, Server]) -> tuple[dict[str, float], dict[str, list[list[float]]]]:
    rates = {name: await _rate(server) for name, server in servers.items()}
    rounds: dict[str, list[list[float]]] = {name: [] for name in servers}
    for _ in range(_ROUNDS):
        for name, server in servers.items():
            rounds[name].append(await _latencies(server, rates["agent"] / 2))
    return rates, rounds


def _percentile(values: list[float], part: float) -> float:
    return values[int(part * (len(values) - 1))]


def main() -> None:
    """Start the servers, measure, print."""
    with tempfile.TemporaryDirectory() as directory, agent_with_history() as agent, ExitStack() as stack:
        Path(directory).chmod(0o755)
        servers = dict(_servers(agent, Path(directory), stack))
        rates, rounds = asyncio.run(_measure(servers))
    print(f"{_PATH}, 250 rules, {_CONNECTIONS} connections; half load is {rates['agent'] / 2:.0f} requests/s")
    print(f"{'':<22}{'full load, requests/s':>24}{'p50 ms':>9}{'p99 ms':>9}{'p99, agent is times':>22}")
    for name in servers:
        p50 = statistics.median(_percentile(values, 0.5) for values in rounds[name])
        p99 = [_percentile(values, 0.99) for values in rounds[name]]
        pairs = zip(rounds["agent"], p99, strict=True)
        ratio = statistics.median(_percentile(ours, 0.99) / theirs for ours, theirs in pairs)
        figures = f"{p50 * 1e3:>9.2f}{statistics.median(p99) * 1e3:>9.2f}{ratio:>22.2f}"
        print(f"{name:<22}{rates[name]:>24.0f}{figures}")


if __name__ == "__main__":
    main()
