"""What one STUN probe costs an agent: resident memory, and processor time of a round.

``make bench-egress`` (``SECONDS=60``). The probe is a socket of this process on loopback, and rounds come
every two seconds instead of every ten minutes: so what a round costs is seen above what an agent does anyway.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from bench.processes import answered, cpu_seconds, free_port, many_rules, resident_mib, running
from tests.support.stun import message, xor_mapped

_SEEN = "203.0.113.7"
_ROUNDS_SOON = ("-m", "tests.translation.quick_agent")


class _Responder(asyncio.DatagramProtocol):
    """A STUN server over UDP that sees every flow come from one address."""

    def __init__(self) -> None:
        self.asked = asyncio.Semaphore(0)
        self.count = 0
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - as asyncio has it
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Answer."""
        assert self._transport is not None
        transaction_id = data[8:20]
        answer = message(xor_mapped(_SEEN, transaction_id=transaction_id), transaction_id=transaction_id)
        self._transport.sendto(answer, addr)
        self.count += 1
        self.asked.release()


@dataclass(frozen=True)
class _Agent:
    name: str
    pid: int


@contextmanager
def _agent(name: str, imds: str, *arguments: str) -> Iterator[_Agent]:
    """An agent without annotations, once it has answered."""
    api, admin = free_port(), free_port()
    listen = ("--listen", f"127.0.0.1:{api}", "--admin-listen", f"127.0.0.1:{admin}")
    common = ("run", "--no-annotations", "--imds-endpoint", imds, *listen)
    with running([*_ROUNDS_SOON, *common, *arguments]) as process:
        answered(f"http://127.0.0.1:{api}/v1/loadbalancer")
        yield _Agent(name, process.pid)


async def main() -> None:
    """Measure both at the same time and print a table."""
    seconds = float(os.environ.get("SECONDS", "60"))
    port, control = free_port(), free_port()
    transport, responder = await asyncio.get_running_loop().create_datagram_endpoint(
        _Responder, local_addr=("127.0.0.1", 0)
    )
    probe = f"stun:127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    with ExitStack() as stack:
        stack.enter_context(running(many_rules(port, control)))
        await asyncio.to_thread(answered, f"http://127.0.0.1:{control}/state")
        imds = f"http://127.0.0.1:{port}"
        agents = [
            await asyncio.to_thread(stack.enter_context, _agent(name, imds, *arguments))
            for name, arguments in (("no probe", ()), ("one STUN probe", ("--egress-probe", probe)))
        ]
        # The first round has five flows, every other one; what is loaded for it is loaded then.
        for _ in range(6):
            await responder.asked.acquire()
        before = [cpu_seconds(agent.pid) for agent in agents]
        rounds = responder.count
        await asyncio.sleep(seconds)
        used = [
            1000 * (cpu_seconds(agent.pid) - earlier) for agent, earlier in zip(agents, before, strict=True)
        ]
        rounds = responder.count - rounds
        resident = [resident_mib(agent.pid) for agent in agents]
    transport.close()
    print(f"250 rules, one poll in 10 s, {rounds} rounds of one flow in {seconds:g} s")
    print(f"{'':<22}{'VmRSS MiB':>12}{'CPU ms':>10}")
    for agent, memory, cpu in zip(agents, resident, used, strict=True):
        print(f"{agent.name:<22}{memory:>12.2f}{cpu:>10.1f}")
    print(f"{'more':<22}{resident[1] - resident[0]:>12.2f}{used[1] - used[0]:>10.1f}")
    print(f"{'ratio':<22}{resident[1] / resident[0]:>12.3f}{used[1] / used[0]:>10.2f}")
    print(f"a round: {(used[1] - used[0]) / rounds:.2f} ms of processor time")


if __name__ == "__main__":
    asyncio.run(main())
