"""Terminals as the pages show them: what was typed, what came back, and what of it differs each time."""

import asyncio
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.docs.pages import CHECKOUT
from tests.examples.containers import stand_in
from tests.support.program import NOWHERE

ENDPOINT = "AZURE_LB_METADATA_IMDS_ENDPOINT"

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)

_VOLATILE = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "TIME"),
    (re.compile(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"), "DATE"),
    (re.compile(r"(?m)^Age: \d+"), "Age: N"),
    (re.compile(r'"[0-9a-f]{32}"'), '"ETAG"'),
)
"""What is another one each time: times, ages, and ETags, which follow from times in bodies."""

DEADLINE_S = 120.0

_ANYTHING = "…"
"""As a line of its own: any lines. Within a line: any text."""


@dataclass(frozen=True)
class Example:
    """One command and what the page shows below it."""

    command: str
    """For a shell; may have several lines."""
    output: str


def examples(page: Path) -> list[Example]:
    """The commands of all ``console`` blocks of a page: the lines that begin with ``$ ``, and continue."""
    return [example for block in _BLOCK.findall(page.read_text()) for example in _of_block(block)]


def _of_block(block: str) -> Iterator[Example]:
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        taken = next(number for number in range(1, len(lines) + 1) if _whole("".join(lines[:number])))
        yield Example(command="".join(lines[:taken]).rstrip("\n"), output="".join(lines[taken:]))


def _whole(command: str) -> bool:
    """Whether a shell would ask for no more: no quote is open, and no line end is escaped."""
    try:
        shlex.split(command)
    except ValueError:
        return False
    return not command.endswith("\\\n")


def matches(output: str, shown: str) -> bool:
    """Whether an output is what a page shows, but for what differs each time."""
    output, shown = _steady(output.replace("\r\n", "\n")), _steady(shown)
    pattern = re.escape(shown).replace(f"{_ANYTHING}\n", "(?:.*\n)*").replace(_ANYTHING, ".*")
    # An output without a line end, such as JSON, is shown with one.
    return re.fullmatch(pattern, output if output.endswith("\n") or not output else f"{output}\n") is not None


def _steady(text: str) -> str:
    for pattern, word in _VOLATILE:
        text = pattern.sub(word, text)
    return text


def environment(directory: Path) -> Mapping[str, str]:
    """The variables of a shell that has our command on its path, and cannot ask a real metadata service."""
    programs = directory / "programs"
    programs.mkdir()
    python = f'PYTHONPATH={shlex.quote(str(CHECKOUT))} exec {shlex.quote(sys.executable)} -m sidecar "$@"'
    stand_in(programs, "azure-lb-metadata", python)
    path = f"{programs}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(directory), "LC_ALL": "C.UTF-8", ENDPOINT: NOWHERE}


async def said(command: str, environment: Mapping[str, str]) -> str:
    """What a shell command writes."""
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", command),
        cwd=CHECKOUT,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return output.decode()
