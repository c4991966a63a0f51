"""What the pages show of terminals is what comes back."""

from pathlib import Path

import pytest

from tests.docs.conftest import Demo
from tests.docs.consoles import environment, examples, matches, said
from tests.docs.pages import DOCS

LOOPBACK = (DOCS / "http-api.md", DOCS / "settings.md")
"""Pages whose terminals need nothing but the demonstration."""


@pytest.mark.parametrize("page", LOOPBACK, ids=lambda page: page.name)
async def test_terminal(demo: Demo, tmp_path: Path, page: Path) -> None:
    """Each command gives what stands below it, but for times and what follows from them."""
    variables = environment(tmp_path)
    found = examples(page)
    assert found
    for example in found:
        command = example.command.replace("localhost:16925", demo.api).replace("localhost:16926", demo.admin)
        output = await said(command, variables)
        assert matches(output, example.output), f"$ {example.command}\n{output}"
