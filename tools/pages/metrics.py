"""docs/metrics.md and the golden file of the metrics, from the registry: ``make metrics-docs``."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sidecar.core.instant import Instant
from sidecar.core.state import Snapshot, State
from sidecar.latest import Watch
from sidecar.metrics import PREFIX, Metrics
from tests.support.states import EPOCH, POLICY

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = CHECKOUT / "docs" / "metrics.md"
GOLDEN = CHECKOUT / "tests" / "assets" / "metrics.txt"

_OPTIONAL = f"{PREFIX}_address_info"

INTRODUCTION = """\
# Metrics

The agent prints them on `/metrics` of its admin port (16926), as Prometheus text or, where `Accept` names \
it, as OpenMetrics. This page is made from the program by `make metrics-docs`; a test fails when it is out \
of date.

No label has a value per node, address or rule: an agent has the same few dozen series however long its \
lists are. Which node a series is of is the scrape's to say: the chart's PodMonitor and ServiceMonitor add \
the label `node`. One metric is the exception and off by default: `azure_lb_metadata_address_info` \
(`--metrics-addresses`, chart value `metrics.addresses`) has a series for each address.

Names, types and labels stay within a major version; metrics and label values may be added.
"""


@dataclass(frozen=True)
class Described:
    """What a metric is, as samples show it."""

    name: str
    """As in a query: a counter's with ``_total``, a histogram's without its suffixes."""
    kind: str
    labels: tuple[str, ...]
    values: dict[str, tuple[str, ...]]
    """Values of the labels that have a fixed set of them."""
    text: str

    @property
    def ours(self) -> bool:
        """Whether it tells of the agent rather than of its process."""
        return self.name.startswith(PREFIX)


def described() -> list[Described]:
    """Every metric that an agent may have, in the order in which it prints them."""
    metrics = Metrics()
    metrics.watch(_nothing_known(), lambda: EPOCH, addresses=True)
    return list(_described(metrics))


def _nothing_known() -> Watch[Snapshot]:
    start: Instant = EPOCH
    return Watch(Snapshot.of(State(started=start), start, POLICY))


def _described(metrics: Metrics) -> Iterator[Described]:
    for family in metrics.registry.collect():
        labels = metrics.label_values.get(family.name.removeprefix(f"{PREFIX}_"))
        if labels is None:
            seen = {label for sample in family.samples for label in sample.labels}
            labels = dict.fromkeys(sorted(seen), ())
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        yield Described(
            name=f"{family.name}{suffix}",
            kind="gauge" if family.type == "info" else family.type,
            labels=tuple(labels),
            values={label: tuple(values) for label, values in labels.items() if values},
            text=family.documentation,
        )


def golden() -> str:
    """Names, types, labels and help: what dashboards and alerts rely on."""
    lines = []
    for metric in described():
        lines += [f"{metric.name} {metric.kind} {{{','.join(metric.labels)}}}", f"    {metric.text}"]
    return "\n".join(lines) + "\n"


def page() -> str:
    """The text of docs/metrics.md."""
    all_of_them = described()
    return "\n".join(
        [
            INTRODUCTION,
            "## The agent\n",
            *_table([metric for metric in all_of_them if metric.ours]),
            "\n## Its process\n",
            "As the client library for Python gives them, on Linux.\n",
            *_table([metric for metric in all_of_them if not metric.ours]),
            "",
        ]
    )


def _table(metrics: list[Described]) -> Iterator[str]:
    yield "| metric | type | labels | meaning |"
    yield "|---|---|---|---|"
    for metric in metrics:
        labels = "<br>".join(_label(metric, label) for label in metric.labels)
        text = metric.text.removesuffix(".")
        yield f"| `{metric.name}` | {metric.kind} | {labels} | {text} |"


def _label(metric: Described, label: str) -> str:
    values = metric.values.get(label, ())
    return f"`{label}`: {', '.join(f'`{value}`' for value in values)}" if values else f"`{label}`"


def main() -> int:
    """Write both files."""
    PAGE.write_text(page())
    GOLDEN.write_text(golden())
    return 0


if __name__ == "__main__":
    sys.exit(main())
