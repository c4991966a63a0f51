"""What the alerts about egress keep quiet about, minute by minute, by promtool and with the chart's durations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.helm import NAMESPACE, RELEASE
from tests.monitoring.prometheus import alert_rules, promtool

pytestmark = [pytest.mark.prometheus, pytest.mark.chart]

UNLISTED, LOST, NEW = (f"AzureLBMetadataEgress{name}" for name in ("Unlisted", "Lost", "AddressNew"))
STATES = ("agrees", "unlisted", "inside", "unanswered", "off")
GONE = ("_", "stale")
"""How promtool writes that there is no sample, and that a target is known to be gone."""
MINUTES = 60


def values(*steps: tuple[object, int]) -> str:
    """Values of a series as promtool has them: each for so many minutes."""
    return " ".join(" ".join([str(value)] * minutes) for value, minutes in steps)


@dataclass
class Node:
    """What the agent of one node prints; a state, a number or ``_``, where it is down, for each minute."""

    states: Sequence[tuple[str, int]]
    answered: str = values((9, MINUTES))
    new: str = values((0, MINUTES))
    listed: str = values((1, MINUTES))
    unlisted: str = values((0, MINUTES))
    started: str = values((-86_400, MINUTES))
    """When the process was started, in seconds of the test."""
    status: str = "ok"
    labels: Mapping[str, str] = field(default_factory=dict)

    def series(self, name: str) -> dict[str, str]:
        """Its series by what they are called."""
        labels = {
            "namespace": NAMESPACE,
            "job": RELEASE,
            "node": name,
            "pod": f"{RELEASE}-{name}",
            "instance": f"{name}:16926",
            **self.labels,
        }

        def called(metric: str, **more: str) -> str:
            listed = ",".join(f'{key}="{value}"' for key, value in {**labels, **more}.items())
            return f"{metric}{{{listed}}}"

        ours = "azure_lb_metadata_"
        found = {
            called(f"{ours}egress_state", state=state): values(
                *((now if now in GONE else int(now == state), minutes) for now, minutes in self.states)
            )
            for state in STATES
        }
        return found | {
            called(f"{ours}egress_flows_total", transport="udp", family="ipv4", result="answered"): (
                self.answered
            ),
            called(f"{ours}egress_new_addresses_total", family="ipv4"): self.new,
            called(f"{ours}egress_observed_addresses", family="ipv4", listed="true"): self.listed,
            called(f"{ours}egress_observed_addresses", family="ipv4", listed="false"): self.unlisted,
            called(f"{ours}status", status=self.status): values((1, MINUTES)),
            called("process_start_time_seconds"): self.started,
        }


@dataclass(frozen=True)
class Case:
    """Nodes by name, and the minutes in which the alert fires, by the node that it is about."""

    alert: str
    nodes: Mapping[str, Node]
    fires: Mapping[str, range] = field(default_factory=dict)


AGREES = (("agrees", MINUTES),)
OFF = (("off", MINUTES),)
NEVER = values((0, MINUTES))
LOST_AT_10 = (("agrees", 10), ("unanswered", MINUTES - 10))

CASES: dict[str, Case] = {
    "an address that is not published": Case(
        UNLISTED, {"a": Node([("agrees", 10), ("unlisted", MINUTES - 10)])}, {"a": range(15, MINUTES)}
    ),
    "an address that is not published for four minutes": Case(
        UNLISTED, {"a": Node([("agrees", 10), ("unlisted", 4), ("agrees", MINUTES - 14)])}
    ),
    "an address is not published, and the pod is replaced": Case(
        UNLISTED,
        {
            "a": Node([("unlisted", 20), ("_", MINUTES - 20)], labels={"pod": "old", "instance": "old"}),
            "a again": Node([("_", 20), ("unlisted", MINUTES - 20)], labels={"node": "a"}),
        },
        {"a": range(5, MINUTES)},
    ),
    "an agent that knows nothing of the load balancer yet": Case(
        UNLISTED, {"a": Node([("unlisted", MINUTES)], status="starting")}
    ),
    "an agent without probes": Case(UNLISTED, {"a": Node(OFF)}),
    "a sidecar that leaves from elsewhere than its node": Case(
        UNLISTED,
        {"a": Node([("unlisted", MINUTES)], labels={"namespace": "shop", "job": "shop"})},
    ),
    "a sidecar in the namespace of the agents": Case(
        UNLISTED, {"a": Node([("unlisted", MINUTES)], labels={"job": "shop", "node": ""})}
    ),
    "a node that nothing answers": Case(
        LOST, {"a": Node(LOST_AT_10), "b": Node(AGREES)}, {"a": range(35, MINUTES)}
    ),
    "a node whose probe saw an own address before": Case(
        LOST, {"a": Node(LOST_AT_10), "b": Node([("inside", MINUTES)])}, {"a": range(35, MINUTES)}
    ),
    "an outage that two nodes notice 24 minutes apart": Case(
        LOST,
        {"a": Node(LOST_AT_10), "b": Node([("agrees", 34), ("unanswered", MINUTES - 34)])},
    ),
    "a probe that is away": Case(LOST, {"a": Node(LOST_AT_10), "b": Node(LOST_AT_10)}),
    "a cluster of one node": Case(LOST, {"a": Node(LOST_AT_10)}),
    "a node whose agent is down": Case(
        LOST, {"a": Node([("agrees", 10), ("_", MINUTES - 10)]), "b": Node(AGREES)}
    ),
    "a node whose agent went down while nothing answered": Case(
        LOST,
        {"a": Node([("unanswered", 20), ("stale", 1), ("_", MINUTES - 21)]), "b": Node(AGREES)},
    ),
    "no other node has probes": Case(LOST, {"a": Node(LOST_AT_10), "b": Node(OFF)}),
    "only a sidecar is answered": Case(
        LOST, {"a": Node(LOST_AT_10), "b": Node(AGREES, labels={"namespace": "shop", "job": "shop"})}
    ),
    "only agents of another release are answered": Case(
        LOST, {"a": Node(LOST_AT_10), "b": Node(AGREES, labels={"namespace": "other"})}
    ),
    "another agent only remembers what an earlier run saw": Case(
        LOST, {"a": Node(LOST_AT_10), "b": Node(AGREES, answered=NEVER)}
    ),
    "an agent that has just been started": Case(
        LOST, {"a": Node([("_", 10), ("unanswered", 1), ("agrees", MINUTES - 11)]), "b": Node(AGREES)}
    ),
    "a new address": Case(
        NEW,
        {"a": Node(AGREES, new=values((1, 30), (2, 30)), unlisted=values((0, 30), (1, 30)))},
        {"a": range(30, 45)},
    ),
    "the first address of an agent": Case(
        NEW,
        {
            "a": Node(
                AGREES,
                new=values(("_", 5), (0, 1), (1, MINUTES - 6)),
                listed=NEVER,
                unlisted=values(("_", 5), (0, 1), (1, MINUTES - 6)),
                started=values(("_", 5), (300, MINUTES - 5)),
            )
        },
    ),
    "the first address of an agent that was scraped late": Case(
        NEW,
        {
            "a": Node(
                AGREES,
                new=values(("_", 5), (1, MINUTES - 5)),
                listed=NEVER,
                unlisted=values(("_", 5), (1, MINUTES - 5)),
                started=values(("_", 5), (300, MINUTES - 5)),
            )
        },
    ),
    "the first answer of a probe long after the start": Case(
        NEW,
        {"a": Node(AGREES, new=values((0, 30), (1, 30)), listed=NEVER, unlisted=values((0, 30), (1, 30)))},
    ),
    "an agent that begins anew in its pod": Case(
        NEW,
        {
            "a": Node(
                AGREES,
                new=values((2, 30), (0, 1), (2, 29)),
                unlisted=values((1, 30), (0, 1), (1, 29)),
                started=values((-86_400, 30), (1800, 30)),
            )
        },
    ),
    "an agent in a new pod": Case(
        NEW,
        {
            "a": Node(
                AGREES,
                new=values((2, 30), ("_", 30)),
                unlisted=values((1, 30), ("_", 30)),
                labels={"pod": "old", "instance": "old"},
            ),
            "a again": Node(
                AGREES,
                new=values(("_", 30), (0, 1), (2, 29)),
                listed=values(("_", 30), (0, 1), (1, 29)),
                unlisted=values(("_", 30), (0, 1), (1, 29)),
                started=values(("_", 30), (1800, 30)),
                labels={"node": "a"},
            ),
        },
    ),
    "a new address of a declared prefix": Case(
        NEW, {"a": Node(AGREES, new=values((1, 30), (2, 30)), listed=values((1, 30), (2, 30)))}
    ),
    "an agent that was not scraped for a while": Case(
        NEW,
        {
            "a": Node(
                AGREES,
                new=values((2, 20), ("_", 20), (2, 20)),
                unlisted=values((1, 20), ("_", 20), (1, 20)),
            )
        },
    ),
    "a sidecar that sees a new address": Case(
        NEW,
        {
            "a": Node(
                AGREES,
                new=values((1, 30), (2, 30)),
                unlisted=values((0, 30), (1, 30)),
                labels={"namespace": "shop", "job": "shop"},
            )
        },
    ),
}


def rule_test(case: Case) -> dict[str, Any]:
    """The test file, which asks at each minute for which nodes the alert fires."""
    series = {name: one for node, of in case.nodes.items() for name, one in of.series(node).items()}
    asked = [
        {
            "expr": f'sum by (node) (ALERTS{{alertname="{case.alert}",alertstate="firing"}})',
            "eval_time": f"{minute}m",
            "exp_samples": [
                {"labels": f'{{node="{node}"}}', "value": 1}
                for node, minutes in case.fires.items()
                if minute in minutes
            ],
        }
        for minute in range(MINUTES)
    ]
    given = [{"series": name, "values": text} for name, text in series.items()]
    return {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": given, "promql_expr_test": asked}],
    }


@pytest.mark.parametrize("name", CASES)
async def test_when_it_fires(name: str, tmp_path: Path) -> None:
    """It fires in these minutes and in no other."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(alert_rules()))
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(rule_test(CASES[name])))
    assert "SUCCESS" in await promtool("test", "rules", "test.yaml", directory=tmp_path)
