"""README.md in parts: what it shows of terminals, and how it installs the chart."""

import re

from tests.docs.consoles import Example, examples
from tests.docs.pages import CHECKOUT
from tests.examples.containers import AGENT_URL

PAGE = CHECKOUT / "README.md"
TEXT = PAGE.read_text()

(INSTALLATION,) = re.findall(r"^```sh\n(helm install .*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
"""The command that installs the chart, where REGISTRY stands for the reader's own."""


def about(*parts: str) -> list[Example]:
    """The examples whose command has one of these parts."""
    return [example for example in examples(PAGE) if any(part in example.command for part in parts)]


PODS = about(AGENT_URL)
"""What a pod asks its node's agent."""

KUBECTL = about("kubectl get")
