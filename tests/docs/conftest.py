"""What the pages' examples run against."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.agent import Program, program_running, until


@dataclass(frozen=True)
class Demo:
    """`azure-lb-metadata demo`, and where it listens."""

    program: Program
    api: str
    """Host and port."""
    admin: str
    guide: str
    """What it printed."""


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Demo]:
    """The demonstration, from the moment that it has data."""
    async with program_running("demo", directory=tmp_path) as program:

        async def guide() -> str:
            assert program.runs, program.log
            return program.output

        text = await until(guide, lambda text: "Ctrl-C" in text)
        api = re.search(r"the agent answers at http://(\S+)", text)
        admin = re.search(r"admin_listen=(\S+)", program.log)
        assert api is not None
        assert admin is not None, program.log
        yield Demo(program, api=api[1], admin=admin[1].strip('"'), guide=text)
