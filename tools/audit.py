"""``make audit``: the pinned requirements against the advisories that a package index publishes.

Not every index, and no mirror that serves files alone, has advisories. Then nothing is known, which is
neither a pass nor a failure: exit code 0 is "all were looked up, and none is vulnerable", 1 is "some are",
and 75 (``EX_TEMPFAIL``) is "not looked up"; a job may let 75 pass, but never 1.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_TOOL = "pip-audit==2.10.1"
_CHECKOUT = Path(__file__).resolve().parents[1]
_REQUIREMENTS = ("runtime.txt", "pip.txt", "build.txt", "dev.txt")


def main() -> int:
    """Audit each file of requirements, and give the gravest exit code."""
    gravest = 0
    for name in _REQUIREMENTS:
        code, text = judged(_audit(_CHECKOUT / "requirements" / name))
        print(f"{name}: {text}", flush=True)
        gravest = 1 if 1 in (code, gravest) else max(code, gravest)
    return gravest


def _audit(requirements: Path) -> str:
    """What the tool says as JSON, empty if it came to nothing; it installs nothing that it looks up."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.json"
        uvx = str(Path(sys.executable).with_name("uvx"))
        command = (uvx, "--quiet", _TOOL, "--disable-pip", "--require-hashes", "--format", "json")
        files = ("--requirement", str(requirements), "--output", str(report))
        subprocess.run((*command, *files), check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return report.read_text() if report.exists() else ""


def judged(report: str) -> tuple[int, str]:
    """The exit code of a report, and what it says in words.

    Args:
        report: ``{"dependencies": [{"name", "version", "vulns": [{"id"}]} or {"name", "skip_reason"}]}``.
    """
    if not report:
        return os.EX_TEMPFAIL, "not audited: there is no report"
    dependencies: list[dict[str, Any]] = json.loads(report)["dependencies"]
    vulnerable = [_described(dependency) for dependency in dependencies if dependency.get("vulns")]
    skipped = [dependency["name"] for dependency in dependencies if "skip_reason" in dependency]
    if vulnerable:
        return 1, f"vulnerable: {'; '.join(vulnerable)}"
    if skipped or not dependencies:
        counts = f"{len(skipped)} of {len(dependencies)} requirements"
        return os.EX_TEMPFAIL, f"not audited: the index has no advisories for {counts}"
    return 0, f"no known vulnerability in {len(dependencies)} requirements"


def _described(dependency: dict[str, Any]) -> str:
    advisories = ", ".join(advisory["id"] for advisory in dependency["vulns"])
    return f"{dependency['name']} {dependency['version']} ({advisories})"


if __name__ == "__main__":
    sys.exit(main())
