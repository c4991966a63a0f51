"""The panels of the chart's dashboard: a table of what they show, and their queries."""

from collections.abc import Sequence
from dataclasses import dataclass

COLUMNS = 24


@dataclass(frozen=True)
class Query:
    """One query, and what its series are called."""

    expression: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """A chart over time."""

    title: str
    description: str
    queries: Sequence[Query]
    unit: str = "short"
    """As Grafana names it."""
    width: int = 8
    """Of 24 columns."""
    stacked: bool = False


def _of(name: str, **labels: str) -> str:
    """A selector of one of our metrics on the nodes that are chosen."""
    more = "".join(f',{label}="{value}"' for label, value in labels.items())
    return f'azure_lb_metadata_{name}{{namespace=~"$namespace",node=~"$node"{more}}}'


def _per_node(function: str, selector: str) -> str:
    return f"{function} by (node) ({selector})"


PANELS: tuple[Panel, ...] = (
    Panel(
        "Nodes by status",
        "What the published data are worth. All nodes should be ok.",
        [Query(f"sum by (status) ({_of('status')})", "{{status}}")],
        stacked=True,
    ),
    Panel(
        "Age of the data",
        "Age of the last good answer, by node: a saw of the poll interval while all is well.",
        [Query(_per_node("max", _of("data_age_seconds")), "{{node}}")],
        unit="s",
    ),
    Panel(
        "Attempts",
        "Requests to the metadata service a second, by outcome.",
        [Query(f"sum by (outcome) (rate({_of('attempts_total')}[$__rate_interval])) > 0", "{{outcome}}")],
        unit="reqps",
        stacked=True,
    ),
    Panel(
        "Inbound rules",
        "By node. A node below its peers is missing from a backend pool.",
        [Query(_per_node("max", _of("entries", kind="inbound")), "{{node}}")],
    ),
    Panel(
        "Outbound and public IPs",
        "Entries of the lists, by node.",
        [
            Query(_per_node("max", _of("entries", kind="outbound")), "outbound {{node}}"),
            Query(_per_node("max", _of("entries", kind="public")), "public {{node}}"),
        ],
    ),
    Panel(
        "Time since the last change",
        "Of the youngest change on any node, by what changed.",
        [Query(f"time() - max by (kind) ({_of('last_change_timestamp_seconds')} > 0)", "{{kind}}")],
        unit="s",
    ),
    Panel(
        "Changes",
        "Changes of the published documents, by what changed.",
        [Query(f"sum by (kind) (increase({_of('changes_total')}[$__rate_interval]))", "{{kind}}")],
    ),
    Panel(
        "Duration of attempts",
        "Median and 99th percentile over all nodes.",
        [
            Query(
                f"histogram_quantile({quantile}, sum by (le) "
                f"(rate({_of('attempt_duration_seconds_bucket')}[$__rate_interval])))",
                name,
            )
            for quantile, name in ((0.5, "median"), (0.99, "99 %"))
        ],
        unit="s",
    ),
    Panel(
        "Publish lag",
        "How long publishers have been behind. Up to the write splay is as it should be.",
        [Query(f"max by (node, publisher) ({_of('publish_lag_seconds')})", "{{publisher}} {{node}}")],
        unit="s",
    ),
    Panel(
        "Turns of publishers",
        "Written, skipped and failed, a second.",
        [
            Query(
                f"sum by (publisher, result) (rate({_of('publishes_total')}[$__rate_interval]))",
                "{{publisher}} {{result}}",
            )
        ],
        unit="ops",
    ),
    Panel(
        "Requests to the API server",
        "A second, by method and status code.",
        [
            Query(
                f"sum by (method, code) (rate({_of('kubernetes_requests_total')}[$__rate_interval]))",
                "{{method}} {{code}}",
            )
        ],
        unit="reqps",
    ),
    Panel(
        "Budget of annotations",
        "Part of the budget that is used; above 1 keys are left out.",
        [
            Query(
                f"max by (node) ({_of('annotation_bytes')} / ({_of('annotation_budget_bytes')} > 0))",
                "{{node}}",
            )
        ],
        unit="percentunit",
    ),
    Panel(
        "Nodes by egress state",
        "How the addresses that egress probes saw compare with those that are published. All nodes should "
        "agree, or be off.",
        [Query(f"sum by (state) ({_of('egress_state')})", "{{state}}")],
        stacked=True,
    ),
    Panel(
        "Observed egress addresses",
        "Addresses that egress probes saw connections come from, by node: listed are declared or configured, "
        "and new those that were not observed before.",
        [
            Query(f"sum by (node) ({_of('egress_observed_addresses', listed='true')})", "listed {{node}}"),
            Query(f"sum by (node) ({_of('egress_observed_addresses', listed='false')})", "unlisted {{node}}"),
            Query(
                f"sum by (node) (increase({_of('egress_new_addresses_total')}[$__rate_interval]))",
                "new {{node}}",
            ),
        ],
    ),
    Panel(
        "Connections to egress probes",
        "A second, by transport and result. What fails over one transport alone is blocked there.",
        [
            Query(
                f"sum by (transport, result) (rate({_of('egress_flows_total')}[$__rate_interval]))",
                "{{transport}} {{result}}",
            )
        ],
        unit="reqps",
        stacked=True,
    ),
    Panel(
        "Clients",
        "Connections to the HTTP API, those that wait for a change, and streams of events.",
        [
            Query(f"sum({_of('http_clients')})", "connections"),
            Query(f"sum({_of('http_waiting_clients')})", "waiting"),
            Query(f"sum({_of('http_event_clients')})", "streams"),
        ],
    ),
    Panel(
        "Refused clients",
        "A second, by cause.",
        [Query(f"sum by (cause) (rate({_of('http_refused_clients_total')}[$__rate_interval]))", "{{cause}}")],
        unit="reqps",
    ),
    Panel(
        "Dropped entries",
        "Wrong entries that were left out, by list.",
        [
            Query(
                f"sum by (list) (increase({_of('dropped_entries_total')}[$__rate_interval])) or vector(0)",
                "{{list}}",
            )
        ],
    ),
    Panel(
        "Annotations of others",
        "Our annotations that somebody else changed, and those that were removed since they were not due.",
        [
            Query(
                f"sum by (by) (increase({_of('foreign_changes_total')}[$__rate_interval]))",
                "changed by {{by}}",
            ),
            Query(
                f"sum (increase({_of('removed_annotations_total')}[$__rate_interval]))",
                "removed",
            ),
        ],
    ),
    Panel(
        "Dropped log lines",
        "Lines that standard error did not take.",
        [
            Query(
                f"sum by (node) (increase({_of('log_dropped_lines_total')}[$__rate_interval]))",
                "{{node}}",
            )
        ],
    ),
    Panel(
        "Memory",
        "Resident memory of the agents.",
        [
            Query(
                f'max by (node) (process_resident_memory_bytes{{namespace=~"$namespace",node=~"$node"}} '
                f"and on (instance) {_of('build_info')})",
                "{{node}}",
            )
        ],
        unit="bytes",
    ),
    Panel(
        "CPU",
        "Processors that the agents use.",
        [
            Query(
                f'sum by (node) (rate(process_cpu_seconds_total{{namespace=~"$namespace",node=~"$node"}}'
                f"[$__rate_interval]) and on (instance) {_of('build_info')})",
                "{{node}}",
            )
        ],
    ),
    Panel(
        "Alerts",
        "Alerts of ours that fire.",
        [
            Query(
                'sum by (alertname) (ALERTS{alertname=~"AzureLBMetadata.+",alertstate="firing"})'
                " or vector(0)",
                "{{alertname}}",
            )
        ],
    ),
)


def filled(expression: str, *, rate_interval: str) -> str:
    """A query with what Grafana puts in place of its variables when everything is chosen."""
    for variable, value in (("$namespace", ".*"), ("$node", ".*"), ("$__rate_interval", rate_interval)):
        expression = expression.replace(variable, value)
    return expression
