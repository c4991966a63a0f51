"""Render the files in ``manifests/`` from the chart: ``make manifests``.

They are for people without Helm, so nothing in them speaks of it, and hooks are left out: there is
nothing that would run them.
"""

import sys
from collections.abc import Mapping

from tests.chart.helm import CHECKOUT, NAMESPACE, Value, render

FOLDER = CHECKOUT / "manifests"
MANIFESTS: Mapping[str, Mapping[str, Value]] = {
    "daemonset.yaml": {},
    "http-only.yaml": {"publish.annotations": False},
    "host-network.yaml": {"hostNetwork": True},
}
"""Values that differ from the chart's, by file."""

_HELMS_OWN = ("helm.sh/chart: ", "app.kubernetes.io/managed-by: ", "# Source: ")

_HEAD = """\
# Written by `make manifests` from charts/azure-lb-metadata; do not edit.{values}
apiVersion: v1
kind: Namespace
metadata:
  name: {namespace}
  labels:
    pod-security.kubernetes.io/enforce: {level}
"""


def manifest(name: str) -> str:
    """The text of a file."""
    values = MANIFESTS[name]
    level = "privileged" if values.get("hostNetwork") else "restricted"
    shown = "".join(f"\n# Values: {path}: {str(value).lower()}" for path, value in values.items())
    # A node's API server is not asked, so its version is the oldest that has all that is rendered.
    text = render(values, options=["--no-hooks", "--kube-version", "1.30.0"]).text
    lines = [line for line in text.splitlines() if not line.lstrip().startswith(_HELMS_OWN)]
    body = "\n".join(line.rstrip() for line in lines).replace("\n\n---", "\n---")
    return _HEAD.format(values=shown, namespace=NAMESPACE, level=level) + body.rstrip() + "\n"


def main() -> int:
    """Write all files."""
    for name in MANIFESTS:
        (FOLDER / name).write_text(manifest(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
