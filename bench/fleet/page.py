"""The tables and the picture of ``docs/performance.md``, written from the recorded figures.

``make performance-docs``.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.fleet import plot, report
from bench.fleet.costs import (
    HOUR,
    IDLE,
    LARGE_NODES,
    LARGE_WATCHERS,
    Records,
    idle_cpu,
    idle_cpu_in_an_hour,
    our_cpu,
    our_cpu_in_an_hour,
    watched_table,
)
from bench.fleet.others import WATCHERS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"

_BEGIN, _END = "<!-- {}: written by make bench-fleet RECORD=1 -->", "<!-- end of {} -->"

_ORDER = (
    "first roll-out",
    "rolling restart",
    "one Service added",
    "20 Services in a minute",
    "egress IP changed",
    "IMDS unreachable on all nodes",
    "IMDS back on all nodes",
    "IMDS flapping every 6 minutes, 1 h",
    "API server away for 5 min",
    "API server back",
)
_HEAD = (
    (
        "| scenario | nodes | time | reads | writes | failed | most in 1 s "
        "| API server CPU, s (without us) | others' p99, ms (without us) | nodes right: half, all |"
    ),
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
)


def filled(text: str, runs: Mapping[int, Records]) -> str:
    """The page with its tables replaced."""
    for name, lines in (
        ("scenarios", _scenarios(runs)),
        ("watchers", _watchers(runs)),
        ("quiet", _quiet(runs)),
    ):
        begin, end = _BEGIN.format(name), _END.format(name)
        head, _, rest = text.partition(begin)
        _, found, tail = rest.partition(end)
        assert found, f"{PAGE} has no place for {name}"
        text = f"{head}{begin}\n{chr(10).join(lines)}\n{end}{tail}"
    return text


def _scenarios(runs: Mapping[int, Records]) -> Iterator[str]:
    yield from _HEAD
    for scenario in _ORDER:
        for nodes, records in sorted(runs.items()):
            for name in (name for name in sorted(records) if name.partition(", splay")[0] == scenario):
                yield _scenario(nodes, records, name)
    yield ""
    yield from map(_measured, sorted(runs), (runs[nodes] for nodes in sorted(runs)))


def _measured(nodes: int, records: Records) -> str:
    """Where, when, and of what."""
    about = [record["measured"] for record in records.values()]
    commits = ", ".join(dict.fromkeys(each["commit"] for each in about))
    loads = [each["load"] for each in about]
    days = ", ".join(dict.fromkeys(each["date"] for each in about))
    return (
        f"- {nodes:,} nodes: {days}, {about[0]['processor']}, {about[0]['cores']} cores, load at the start "
        f"at most {max(loads):.1f}, commits {commits}"
    )


def _scenario(nodes: int, records: Records, scenario: str) -> str:
    record = records[scenario]
    cpu = our_cpu(records, scenario) or 0.0
    cells = (
        scenario,
        f"{nodes:,}",
        _time(record),
        f"{record['reads']:,}",
        f"{record['writes']:,}",
        f"{record['failed']:,}",
        str(record["peak"]),
        f"{cpu:.1f} ({idle_cpu(records, scenario):.1f})" if record["apiserver_cpu"] else "-",
        _felt(record, records[IDLE]),
        _right(record),
    )
    return f"| {' | '.join(cells)} |"


def _time(record: Mapping[str, Any]) -> str:
    """As it would pass in a cluster."""
    pace = record["pace"]
    return f"{record['seconds'] * pace:,.0f} s" + (f", {pace:g} times faster" if pace != 1 else "")


def _felt(record: Mapping[str, Any], idle: Mapping[str, Any]) -> str:
    if not record["others"]["count"]:
        return "-"
    return f"{record['others']['p99'] * 1000:,.0f} ({idle['others']['p99'] * 1000:,.0f})"


def _right(record: Mapping[str, Any]) -> str:
    right, pace = record["right"], record["pace"]
    if not right["count"]:
        return "-"
    never = record["notes"].get("never right", 0)
    return f"{right['median'] * pace:.0f} s, {right['longest'] * pace:.0f} s" + (
        f" ({never} not)" if never else ""
    )


def _quiet(runs: Mapping[int, Records]) -> Iterator[str]:
    cpu = "API server CPU, s (without us)"
    yield f"| an hour without change | nodes | reads | writes | {cpu} | status posts of kubelets |"
    yield "|---|--:|--:|--:|--:|--:|"
    for nodes, records in sorted(runs.items()):
        for form in ("full", "summary"):
            record = records.get(f"quiet, {form}")
            ours = our_cpu_in_an_hour(records, form)
            if record is None or ours is None:
                continue
            hours = record["seconds"] * record["pace"] / HOUR
            counts = (f"{record[name] / hours:,.0f}" for name in ("reads", "writes"))
            posts = record["kubelet_posts"] / hours
            used = f"{ours:,.0f} ({idle_cpu_in_an_hour(records):,.0f})"
            yield f"| `{form}` | {nodes:,} | {' | '.join(counts)} | {used} | {posts:,.0f} |"


def _watchers(runs: Mapping[int, Records]) -> Iterable[str]:
    large = f"{LARGE_WATCHERS} watchers, {LARGE_NODES:,} nodes, extrapolated"
    yield f"| to watchers in a quiet hour | {WATCHERS} watchers, 1,000 nodes | {large} |"
    yield "|---|--:|--:|"
    records = runs.get(1000, {})
    for form, hour, larger in watched_table(records):
        yield f"| {form} | {hour / 1e9:.2f} GB | {larger / 1e9:.0f} GB |"


def main() -> None:
    """Write the page and the picture."""
    runs = report.recorded()
    plot.PICTURE.write_text(plot.picture(runs))
    PAGE.write_text(filled(PAGE.read_text(), runs))


if __name__ == "__main__":
    main()
