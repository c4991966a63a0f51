"""What the drawing of the status page shows of few rules and of many."""

from collections.abc import Iterable

import pytest

from sidecar.api.page.rows import MOST, TEXT_LENGTH, PageRow, drawn
from sidecar.core.addresses import parse_address
from sidecar.core.document import Document, InboundRule

OWN, FRONTEND = "10.240.0.4", "20.20.20.20"
FLOATING = "any private IP (floating IP)"


def rule(
    port: int,
    backend_port: int = 30000,
    *,
    frontend: str = FRONTEND,
    target: str = OWN,
    protocol: str = "tcp",
) -> InboundRule:
    """A rule; without a target of its own it is of one private IP."""
    return InboundRule(parse_address(frontend), protocol, port, backend_port, parse_address(target))


def floating(port: int, frontend: str) -> InboundRule:
    """A rule with floating IP."""
    return rule(port, port, frontend=frontend, target=frontend)


def rows(rules: Iterable[InboundRule]) -> list[PageRow]:
    """What is drawn of a document that has such rules."""
    return list(drawn(Document.of(inbound_rules=rules).inbound_rules).rows)


@pytest.mark.parametrize(
    ("one", "row"),
    [
        (rule(80), PageRow(FRONTEND, "tcp 80 → 30000", OWN)),
        (rule(53, 53, protocol="udp"), PageRow(FRONTEND, "udp 53 → 53", OWN)),
        (floating(443, FRONTEND), PageRow(FRONTEND, "tcp 443", FLOATING)),
        (rule(0, 0, protocol="all"), PageRow(FRONTEND, "HA ports", OWN)),
        (rule(0, 0), PageRow(FRONTEND, "tcp 0 → 0", OWN)),
        (rule(65535, 65535, protocol="sixteenletters16"), PageRow(FRONTEND, "sixteenletters16 65…", OWN)),
        (
            rule(80, 80, frontend="2001:db8::1", target="fd00::1"),
            PageRow("2001:db8::1", "tcp 80 → 80", "fd00::1"),
        ),
    ],
)
def test_few_rules_have_a_row_each(one: InboundRule, row: PageRow) -> None:
    """A row has the protocol and the ports; a floating rule, whose ports are equal, names one."""
    found = drawn([one])

    assert (list(found.rows), found.note) == ([row], "")


def test_as_many_as_fit_are_drawn_one_by_one() -> None:
    """Rules are drawn together only if there are more than fit."""
    assert len(rows(rule(port) for port in range(1, MOST + 1))) == MOST
    assert len(rows(rule(port) for port in range(1, MOST + 2))) == 1


@pytest.mark.parametrize(
    ("ports", "text"),
    [
        (range(1000, 1250), "tcp 1000–1249"),  # noqa: RUF001 - the dash of ranges is meant
        ([*range(1000, 1030), 2000], "tcp 1000–1029, 2000"),  # noqa: RUF001 - the dash of ranges is meant
        (range(1000, 1100, 2), "tcp 50 ports"),
    ],
)
def test_ports_of_a_frontend_become_ranges(ports: Iterable[int], text: str) -> None:
    """Many rules of one frontend, protocol and target are one row, which counts ports if they do not fit."""
    assert rows(map(rule, ports)) == [PageRow(FRONTEND, text, OWN)]


def test_other_protocols_and_targets_stay_apart() -> None:
    """Rules are together only with those of the same frontend, protocol and target."""
    many = [rule(port) for port in range(1000, 1100)]
    found = rows([*many, rule(53, protocol="udp"), rule(1, target="10.240.0.5"), floating(22, FRONTEND)])

    assert found == [
        PageRow(FRONTEND, "tcp 1 → 30000", "10.240.0.5"),
        PageRow(FRONTEND, "tcp 22", FLOATING),
        PageRow(FRONTEND, "tcp 1000–1099", OWN),  # noqa: RUF001 - the dash of ranges is meant
        PageRow(FRONTEND, "udp 53 → 30000", OWN),
    ]


def test_sites_that_are_alike_become_one_row() -> None:
    """Many frontends with the same ports are counted; one with others keeps a row of its own."""
    sites = [floating(port, f"20.0.0.{site}") for site in range(100) for port in (80, 443)]

    assert rows([*sites, rule(53)]) == [
        PageRow("100 frontends", "tcp 80, 443", FLOATING),
        PageRow(FRONTEND, "tcp 53 → 30000", OWN),
    ]


def test_largest_are_drawn_of_too_many() -> None:
    """Of more rows than fit the ones with the most rules stay, in their order, and the rest are counted."""
    small = [rule(1000 + site, frontend=f"20.0.0.{site}") for site in range(40)]
    large = [rule(port, frontend="20.0.1.1") for port in (80, 443)]
    found = drawn(Document.of(inbound_rules=[*small, *large]).inbound_rules)

    assert len(found.rows) == MOST
    assert found.rows[0] == PageRow("20.0.0.0", "tcp 1000 → 30000", OWN)
    assert found.rows[-1] == PageRow("20.0.1.1", "tcp 80, 443", OWN)
    assert found.note.endswith(f"It also has {40 - (MOST - 1)} rules that are not drawn.")


def test_texts_fit() -> None:
    """No text of a rule is longer than the room between two IPv6 addresses."""
    many = [
        rule(port, port, protocol=protocol)
        for port in range(1, 65536, 500)
        for protocol in ("tcp", "sixteenletters16")
    ]

    assert max(len(row.text) for row in [*rows(many), *rows(many[:MOST]), *rows(many[-MOST:])]) <= TEXT_LENGTH
