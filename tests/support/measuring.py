"""What `make coverage` hands to the programs that tests start in an environment of their own."""

import os

__all__ = ["MEASURING"]

MEASURING = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
"""Nothing, unless branches are counted."""
