"""Numbers that documents name and the code knows."""

import re

from tests.chaos.storm import SERVICE_FAULTS
from tests.docs.pages import CHECKOUT


def test_faults_of_chaos() -> None:
    """The page about chaos counts the faults of the metadata service as they are drawn."""
    text = (CHECKOUT / "docs" / "fuzzing.md").read_text()
    assert re.findall(r"any of (\d+) faults", text) == [str(len(SERVICE_FAULTS))]
