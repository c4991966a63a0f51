"""The chart's dashboard as the file that Grafana imports.

``python -m tools.pages.dashboard`` writes ``files/dashboard.json`` of the chart; Grafana's own
format is long and repeats itself, so the panels are a table of their own.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from tests.chart.helm import CHART
from tools.pages.panels import COLUMNS, PANELS, Panel

FILE = CHART / "files" / "dashboard.json"
HEIGHT = 8


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    return {
        "title": "Azure load balancer metadata",
        "uid": "azure-lb-metadata",
        "tags": ["azure", "load-balancer"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Data source",
                    "type": "datasource",
                    "query": "prometheus",
                },
                _variable("namespace", "Namespace", "label_values(azure_lb_metadata_build_info, namespace)"),
                _variable(
                    "node",
                    "Node",
                    'label_values(azure_lb_metadata_build_info{namespace=~"$namespace"}, node)',
                ),
            ]
        },
        "annotations": {"list": []},
        "panels": list(_panels()),
    }


def _variable(name: str, label: str, query: str) -> Mapping[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "$datasource"},
        "query": {"query": query, "refId": name},
        "definition": query,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
        "refresh": 2,
        "sort": 1,
    }


def _panels() -> Iterator[Mapping[str, Any]]:
    x = y = 0
    for number, panel in enumerate(PANELS, start=1):
        if x + panel.width > COLUMNS:
            x, y = 0, y + HEIGHT
        yield _panel(number, panel, {"x": x, "y": y, "w": panel.width, "h": HEIGHT})
        x += panel.width


def _panel(number: int, panel: Panel, position: Mapping[str, int]) -> Mapping[str, Any]:
    source = {"type": "prometheus", "uid": "$datasource"}
    custom: dict[str, Any] = {"fillOpacity": 10, "showPoints": "never"}
    if panel.stacked:
        custom |= {"fillOpacity": 60, "stacking": {"mode": "normal"}}
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": source,
        "gridPos": position,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": custom},
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "expr": query.expression,
                "legendFormat": query.legend,
                "datasource": source,
            }
            for index, query in enumerate(panel.queries)
        ],
    }


def text() -> str:
    """The file."""
    return json.dumps(dashboard(), indent=2) + "\n"


def main() -> int:
    """Write it."""
    FILE.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
