"""Write the chart's README.md from values.yaml and README.md.gotmpl: ``make chart-docs``."""

import subprocess
import sys

from tests.chart.helm import CHART, DEADLINE_S, program

README = CHART / "README.md"


def readme() -> str:
    """The text that helm-docs makes."""
    done = subprocess.run(
        [program("helm-docs"), "--chart-search-root", CHART, "--sort-values-order", "file", "--dry-run"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    return done.stdout.strip() + "\n"


def main() -> int:
    """Write the file."""
    README.write_text(readme())
    return 0


if __name__ == "__main__":
    sys.exit(main())
