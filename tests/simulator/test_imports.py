"""The simulator stands alone."""

import json
import subprocess
import sys
from pathlib import Path

from tests.support.waiting import DEADLINE_S

CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAM = "import json, sys; import sidecar.simulator; print(json.dumps(sorted(sys.modules)))"


def test_imports_nothing_else_of_the_project() -> None:
    """Importing the simulator loads no other part of the project and no Kubernetes client."""
    printed = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    ).stdout

    loaded = json.loads(printed)

    own = [name for name in loaded if name.split(".")[0] == "sidecar"]
    assert [name for name in own if name != "sidecar" and not name.startswith("sidecar.simulator")] == []
    assert not {"kubernetes", "prometheus_client", "pydantic_settings"} & set(loaded)
