"""``make lint-workflows``: actionlint and zizmor over ``.github``, neither of which asks the network."""

import subprocess
import sys
from pathlib import Path

from tools.binaries.programs import BinariesMissingError, locate
from tools.release.version import CHECKOUT

WORKFLOWS = CHECKOUT / ".github" / "workflows"


def main() -> int:
    """Run both; the exit code is 1 when one finds fault."""
    try:
        actionlint = locate("actionlint")
    except BinariesMissingError as error:
        print(f"lint-workflows: {error}", file=sys.stderr)
        return 1
    zizmor = Path(sys.executable).with_name("zizmor")
    commands: tuple[list[str | Path], ...] = (
        [actionlint, *sorted(WORKFLOWS.glob("*.yml"))],
        [zizmor, "--offline", "--persona=pedantic", "--no-progress", WORKFLOWS.parent],
    )
    codes = [subprocess.run(command, cwd=CHECKOUT, check=False).returncode for command in commands]
    print(f"lint-workflows: {codes.count(0)} passed, {len(codes) - codes.count(0)} failed")
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
