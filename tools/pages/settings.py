"""docs/settings.md, from the settings of ``run`` and a frame of prose: ``make settings-docs``."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import Template

from annotated_types import Ge, Le
from pydantic.fields import FieldInfo

from sidecar.config import shown
from sidecar.settings import ENVIRONMENT_PREFIX, FALLBACK_VARIABLES, Settings, flag, variable

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = CHECKOUT / "docs" / "settings.md"
_FRAME = Path(__file__).with_name("settings.md")

GROUPS: Mapping[str, Sequence[str]] = {
    "Where the facts come from": (
        "upstream",
        "imds_endpoint",
        "imds_api_version",
        "poll_interval",
        "imds_timeout",
        "stale_after",
        "absent_after",
    ),
    "The HTTP API and the probes": (
        "listen",
        "admin_listen",
        "max_clients",
        "max_header_size",
        "idle_timeout",
        "allow_forwarded",
        "allow_from",
    ),
    "The node and its cluster": ("node_name", "node_address", "kubeconfig", "context"),
    "Annotations and Events of the Node": (
        "annotations",
        "annotate",
        "annotation_prefix",
        "previous_annotation_prefixes",
        "annotation_budget",
        "write_splay",
        "resync_interval",
        "heartbeat_interval",
        "events",
        "events_fault_after",
    ),
    "Where connections leave from": (
        "egress_declared",
        "egress_probe",
        "egress_probe_interval",
        "egress_probe_flows",
        "egress_probe_keep",
        "egress_probe_ca",
    ),
    "Files, metrics and logs": ("file", "metrics_addresses", "log_format", "log_level"),
}
"""All settings, in the order in which people look for them."""

CHART_VALUES: Mapping[str, str] = {
    "egress_declared": "egress.declared",
    "egress_probe": "egress.probes",
    "egress_probe_interval": "egress.interval",
    "egress_probe_flows": "egress.flows",
    "egress_probe_keep": "egress.keep",
    "egress_probe_ca": "egress.ca",
    "imds_endpoint": "imds.endpoint",
    "imds_api_version": "imds.apiVersion",
    "poll_interval": "imds.pollInterval",
    "imds_timeout": "imds.timeout",
    "stale_after": "imds.staleAfter",
    "absent_after": "imds.absentAfter",
    "listen": "api.port",
    "admin_listen": "admin.port",
    "max_clients": "api.maxClients",
    "max_header_size": "api.maxHeaderSize",
    "idle_timeout": "api.idleTimeout",
    "allow_forwarded": "api.allowForwarded",
    "allow_from": "api.allowFrom",
    "annotations": "publish.annotations",
    "annotate": "annotations.content",
    "annotation_prefix": "annotations.prefix",
    "previous_annotation_prefixes": "annotations.previousPrefixes",
    "annotation_budget": "annotations.budget",
    "write_splay": "annotations.writeSplay",
    "resync_interval": "annotations.resyncInterval",
    "heartbeat_interval": "annotations.heartbeatInterval",
    "events": "events.enabled",
    "events_fault_after": "events.faultAfter",
    "file": "file",
    "metrics_addresses": "metrics.addresses",
    "log_format": "log.format",
    "log_level": "log.level",
}
"""The chart's value for a setting."""

SET_BY_CHART = frozenset(FALLBACK_VARIABLES)
"""What the chart sets from the downward API."""


def page() -> str:
    """The page as it should be."""
    tables = [f"## {title}\n\n{_table(fields)}" for title, fields in GROUPS.items()]
    return Template(_FRAME.read_text()).substitute(prefix=ENVIRONMENT_PREFIX, tables="\n".join(tables))


def _table(fields: Sequence[str]) -> str:
    rows = ["| flag, variable | default | chart value | meaning |", "|---|---|---|---|"]
    return "\n".join([*rows, *map(_row, fields), ""])


def _row(name: str) -> str:
    field = Settings.model_fields[name]
    names = f"`{flag(name)}`<br>`{variable(name)}`"
    meaning = " ".join([f"{field.description}".replace("|", "\\|"), *_bounds(field)])
    return f"| {names} | {_default(name, field)} | {_chart_value(name)} | {meaning} |"


def _default(name: str, field: FieldInfo) -> str:
    common = {"upstream": "imds", "annotations": True}
    text = shown(field.get_default(call_default_factory=True, validated_data=common))
    if not text and name in FALLBACK_VARIABLES:
        return f"`${FALLBACK_VARIABLES[name]}`"
    return f"`{text}`" if text else ""


def _chart_value(name: str) -> str:
    if name in SET_BY_CHART:
        return "set from the pod"
    return f"`{CHART_VALUES[name]}`" if name in CHART_VALUES else ""


def _bounds(field: FieldInfo) -> Iterator[str]:
    """The bounds of a whole number, in words."""
    least = [bound.ge for bound in field.metadata if isinstance(bound, Ge)]
    most = [bound.le for bound in field.metadata if isinstance(bound, Le)]
    if field.annotation is int and least and most:
        yield f"From {least[0]} to {most[0]}."


def main() -> int:
    """Write the page."""
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
