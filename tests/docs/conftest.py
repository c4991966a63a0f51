"""What the pages' examples run against."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.program import Program, program_running
from tests.support.waiting import until


@dataclass(frozen=True)
class Demo:
    """`azure-lb-metadata demo`, and where it listens."""

    program: Program
    api: str
    """Host and port."""
    admin: str


ATTEMPTS = 3
"""It looks for a free port before it binds: another one that starts at that moment can take it."""


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Demo]:
    """The demonstration, from the moment that it has data."""
    for _ in range(ATTEMPTS):
        async with program_running("demo", directory=tmp_path) as program:
            if await said_where(program):
                api = re.search(r"the agent answers at http://(\S+)", program.output)
                admin = re.search(r"admin_listen=(\S+)", program.log)
                assert api is not None
                assert admin is not None, program.log
                yield Demo(program, api=api[1], admin=admin[1])
                return
    pytest.fail("the demonstration does not start")


async def said_where(program: Program) -> bool:
    """Wait for its guide; false when it has ended without one."""

    async def guide() -> bool:
        return "Ctrl-C" in program.output or not program.runs

    await until(guide)
    return "Ctrl-C" in program.output
