"""The command ``azure-lb-metadata``, also as ``python -m sidecar``."""

import sys

from sidecar.cli import run
from sidecar.output import open_output


def main() -> None:
    """Run the command line of this process, and end with its exit code."""
    open_output()
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
