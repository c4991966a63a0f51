"""Prints the description: ``python -m sidecar.api.description > sidecar/api/openapi.json``."""

import json
import sys

from sidecar.api.description.document import describe

if __name__ == "__main__":
    json.dump(describe(), sys.stdout, indent=1)
    sys.stdout.write("\n")
