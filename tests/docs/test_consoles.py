"""What the pages show of terminals is what comes back."""

import re
import subprocess
import textwrap
from pathlib import Path

import pytest

from tests.docs.conftest import Demo
from tests.docs.consoles import ENDPOINT, environment, examples, matches, said
from tests.docs.pages import CHECKOUT, DOCS, PAGES
from tests.support.waiting import DEADLINE_S

"""Programs one after the other, each of which takes seconds on a busy machine."""

LOOPBACK = (DOCS / "http-api.md", DOCS / "settings.md")
"""Pages whose terminals need nothing but the demonstration."""

SHELL = re.compile(r"^( *)```sh\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", LOOPBACK, ids=lambda page: page.name)
async def test_terminal(demo: Demo, tmp_path: Path, page: Path) -> None:
    """Each command gives what stands below it, but for times and what follows from them."""
    variables = dict(environment(tmp_path))
    found = examples(page)
    assert found
    if page.name == "settings.md":
        # Settings are printed, the endpoint's default among them, and nobody is asked.
        assert all("--print-settings" in example.command for example in found)
        del variables[ENDPOINT]
    for example in found:
        command = example.command.replace("localhost:16925", demo.api).replace("localhost:16926", demo.admin)
        output = await said(command, variables)
        assert matches(output, example.output), f"$ {example.command}\n{output}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_shell(page: Path) -> None:
    """Each block of the shell, on any page, is one that a shell can read."""
    for indent, block in SHELL.findall(page.read_text()):
        script = textwrap.dedent(block) if indent else block
        finished = subprocess.run(
            ["sh", "-n"], input=script, check=False, capture_output=True, text=True, timeout=DEADLINE_S
        )
        assert finished.returncode == 0, f"{script}\n{finished.stderr}"
