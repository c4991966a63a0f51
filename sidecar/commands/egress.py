"""``nodes --egress``: the list to allow on standard output, what is assumed and not known beside it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sidecar.commands import progress
from sidecar.commands.tables import as_form, grouped
from sidecar.core.addresses import IPNetwork
from sidecar.core.fleet.egress import ASSUMPTION, Egress, Gap, cidr, compare, outside, parse_networks
from sidecar.errors import UsageError

__all__ = ["FORMS", "Expectation", "gap_lines", "print_egress", "read_networks"]

FORMS = ("text", "json", "yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What the list is held against."""

    within: Sequence[IPNetwork] = ()
    """Networks that all addresses are to lie in; empty for any."""
    given: Sequence[IPNetwork] | None = None
    """The list that is allowed now; ``None`` for no comparison."""


def read_networks(path: str) -> tuple[IPNetwork, ...]:
    """The networks of a file; editors of some systems let it begin with a byte order mark.

    Raises:
        UsageError: it cannot be read, or holds something else.
    """
    try:
        return parse_networks(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--diff {path}: {error}") from error


def print_egress(egress: Egress, form: str, *, expected: Expectation, problems: Sequence[str]) -> bool:
    """Print the list, or how it differs from the given one; whether it is complete and as expected."""
    beyond = outside(egress.addresses, expected.within) if expected.within else ()
    difference = None if expected.given is None else compare(egress.addresses, expected.given)
    cidrs = list(map(cidr, egress.addresses))
    missing = [] if difference is None else list(map(cidr, difference.missing))
    needless = [] if difference is None else list(map(str, difference.needless))
    if form == "text":
        lines = (
            cidrs
            if difference is None
            else [f"+{each}" for each in missing] + [f"-{each}" for each in needless]
        )
        print("".join(f"{line}\n" for line in lines), end="")
    else:
        value = {
            "complete": not (egress.gaps or problems),
            "assumed": ASSUMPTION,
            "cidrs": cidrs,
            "outside": list(map(cidr, beyond)),
            "missing": missing,
            "needless": needless,
            "notKnown": list(map(_object, egress.gaps)),
            "problems": list(problems),
        }
        print(as_form(value, form), end="")
    _tell(egress, beyond=list(map(cidr, beyond)), expected=expected, problems=problems)
    return not (egress.gaps or problems or beyond or missing or needless)


def _tell(egress: Egress, *, beyond: Sequence[str], expected: Expectation, problems: Sequence[str]) -> None:
    progress.say(ASSUMPTION)
    for problem in problems:
        progress.say(problem)
    for line in gap_lines(egress.gaps):
        progress.say(line)
    if beyond:
        progress.say(f"outside {', '.join(map(str, expected.within))}: {', '.join(beyond)}")


def gap_lines(gaps: Iterable[Gap]) -> Iterator[str]:
    """The nodes that are not known, by cause."""
    return (f"not known: {line}" for line in grouped((gap.cause, _named(gap)) for gap in gaps))


def _named(gap: Gap) -> str:
    name = f"{gap.cluster}/{gap.node}" if gap.cluster else gap.node
    known = f"listed as of {gap.last_known}" if gap.last_known else ""
    remarks = ", ".join(filter(None, (gap.lasting, known)))
    return f"{name} ({remarks})" if remarks else name


def _object(gap: Gap) -> dict[str, str | None]:
    return {
        "cluster": gap.cluster or None,
        "node": gap.node,
        "cause": gap.cause,
        "lasting": gap.lasting or None,
        "listedAsOf": gap.last_known or None,
    }
