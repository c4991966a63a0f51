"""Tests for ``promtool test rules`` from what real agents printed while a fault was on and off.

Each phase lasts long enough for every alert; what was scraped in it is its value all the time. So the
rules are tested with the durations that the chart has, over series that no test made up.
"""

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.chart.helm import RELEASE
from tests.monitoring.worlds import labels_of

_NAMES = re.compile(r"(azure_lb_metadata|kube|process)_[a-z_]+")

Series = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class Phase:
    """What was scraped while the world was in one state."""

    fires: bool
    """Whether the alert is to fire at its end."""
    at: float
    """Unix time of the scrapes."""
    expositions: Mapping[str, str]
    """By node; the empty name is that of kube-state-metrics."""
    minutes: int = 40
    """How long it lasts in the test, where the chart's durations count."""


def rule_test(alert: str, phases: Sequence[Phase], *, rules: Mapping[str, Any]) -> dict[str, Any]:
    """The test file, for rules in ``rules.yaml``."""
    tests = [
        {"expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})', **expected}
        for expected in _expected(phases, _held_for(alert, rules))
    ]
    others = [
        {"expr": 'count(ALERTS{alertstate="firing"})', "eval_time": f"{end - 1}m", "exp_samples": []}
        for phase, (_, end) in zip(phases, _spans(phases), strict=True)
        if not phase.fires
    ]
    return {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": list(_input(phases, rules)),
                "promql_expr_test": [*tests, *others],
            }
        ],
    }


def _held_for(alert: str, rules: Mapping[str, Any]) -> int:
    """Minutes that an alert must hold before it fires."""
    (rule,) = [rule for group in rules["groups"] for rule in group["rules"] if rule["alert"] == alert]
    text = rule.get("for", "0m")
    assert text.endswith("m")
    return int(text[:-1])


def _spans(phases: Sequence[Phase]) -> list[tuple[int, int]]:
    """The minutes in which each phase begins and ends."""
    ends = list(itertools.accumulate(phase.minutes for phase in phases))
    return list(zip([0, *ends], ends, strict=False))


def _expected(phases: Sequence[Phase], held_for: int) -> Iterator[dict[str, Any]]:
    """At the end of each phase it fires or not; and not yet when it has not held for long enough."""
    one = [{"labels": "{}", "value": 1}]
    for phase, (start, end) in zip(phases, _spans(phases), strict=True):
        yield {"eval_time": f"{end - 1}m", "exp_samples": one if phase.fires else []}
        if phase.fires and held_for:
            yield {"eval_time": f"{start + held_for - 1}m", "exp_samples": []}
            yield {"eval_time": f"{start + held_for + 1}m", "exp_samples": one}


def _input(phases: Sequence[Phase], rules: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Every series that a rule asks for, over all phases; missing where it was not printed."""
    names = {name for group in rules["groups"] for rule in group["rules"] for name in _named(rule["expr"])}
    scraped = [dict(_samples(phase, names)) for phase in phases]
    for series in sorted({series for samples in scraped for series in samples}):
        values = [samples.get(series) for samples in scraped]
        if series[0].endswith(("_timestamp_seconds", "_start_time_seconds")):
            values = list(_moved(values, phases))
        texts = [
            text
            for value, phase in zip(values, phases, strict=True)
            for text in [_text(value)] * phase.minutes
        ]
        labels = ",".join(f'{name}="{value}"' for name, value in series[1])
        yield {"series": f"{series[0]}{{{labels}}}", "values": " ".join(texts)}


def _named(expression: str) -> Iterator[str]:
    return (match.group() for match in _NAMES.finditer(expression))


def _samples(phase: Phase, names: set[str]) -> Iterator[tuple[Series, float]]:
    for node, text in phase.expositions.items():
        target = {**labels_of(node), "job": RELEASE, "instance": node} if node else {"job": "kube-state"}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name in names:
                    labels = {**target, **sample.labels}
                    yield (sample.name, tuple(sorted(labels.items()))), sample.value


def _moved(values: Sequence[float | None], phases: Sequence[Phase]) -> Iterator[float | None]:
    """Unix times in the time of the test, whose phases begin at minutes of it: as old as when scraped."""
    seen: dict[float, float] = {}
    for value, phase, (start, _) in zip(values, phases, _spans(phases), strict=True):
        if value is None or math.isnan(value):
            yield value
        else:
            yield seen.setdefault(value, start * 60 - (phase.at - value))


def _text(value: float | None) -> str:
    return "_" if value is None else "NaN" if math.isnan(value) else repr(value)
