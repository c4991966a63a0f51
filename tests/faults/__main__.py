"""Write docs/faults.md, or with ``--print`` only print it: ``python -m tests.faults``."""

import argparse
import sys

from tests.faults.catalogue import DOCUMENT, CatalogueError, collect, compile_entries, markdown


def main() -> None:
    """Collect, and write or print."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--print", action="store_true", help="print the page instead of writing it")
    arguments = parser.parse_args()
    try:
        page = markdown(compile_entries(collect()))
    except CatalogueError as error:
        sys.exit(str(error))
    if arguments.print:
        sys.stdout.write(page)
    else:
        DOCUMENT.write_text(page)


if __name__ == "__main__":
    main()
