"""``nodes``: rows as a table, CSV, JSON or YAML."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sidecar.commands.tables import NONE, UNKNOWN, age, as_csv, as_form, as_table, shortened
from sidecar.core.fleet.published import Published
from sidecar.core.fleet.row import Row
from sidecar.core.instant import rfc3339

__all__ = ["FORMS", "rendered"]

FORMS = ("table", "wide", "csv", "json", "yaml")

_HEADER = ("NODE", "STATUS", "AGE", "CHANGED", "PUBLIC", "INBOUND", "EGRESS")
_WIDE_HEADER = ("BASIS", "RULES", "POOL", "AGENT", "DIFFERS", "DETAIL")
_LISTS = {
    "publicIps": "public_ips",
    "inboundIps": "inbound_ips",
    "outboundIps": "outbound_ips",
    "egressIps": "egress_ips",
}
_CSV_HEADER = (
    *("cluster", "node", "pool", "standing", "status", "detail", "agent", "observedAt", "changedAt"),
    *("publicIp", *_LISTS, "egressBasis", "revision", "differs", "omitted"),
)
_FEW = 2
_ALL = 1_000_000


def rendered(rows: Sequence[Row], form: str, *, problems: Sequence[str], now: datetime) -> str:
    """The rows in one of the ``FORMS``."""
    if form in {"json", "yaml"}:
        value = {
            "complete": not problems and all(row.current for row in rows),
            "problems": list(problems),
            "nodes": [_object(row) for row in rows],
        }
        return as_form(value, form)
    if form == "csv":
        return as_csv(_CSV_HEADER, map(_csv, rows))
    return _table(rows, wide=form == "wide", now=now)


def _table(rows: Iterable[Row], *, wide: bool, now: datetime) -> str:
    given = list(rows)
    several = any(row.cluster for row in given)
    header = (("CLUSTER",) if several else ()) + _HEADER + (_WIDE_HEADER if wide else ())
    lines = (
        ((row.cluster,) if several else ())
        + _cells(row, most=_ALL if wide else _FEW, now=now)
        + (_wide_cells(row) if wide else ())
        for row in given
    )
    return as_table(header, lines)


def _cells(row: Row, *, most: int, now: datetime) -> tuple[str, ...]:
    data = row.data or Published()
    return (
        row.node,
        row.status,
        age(data.observed_at, now=now),
        age(data.changed_at, now=now),
        shortened(data.public_ips, most=most),
        _marked(row, "inbound", shortened(data.inbound_ips, most=most)),
        _marked(row, "egress", shortened(data.egress_ips, most=most)),
    )


def _wide_cells(row: Row) -> tuple[str, ...]:
    data = row.data or Published()
    rules = UNKNOWN if data.inbound is None else str(len(data.inbound)) if row.data else ""
    return (data.egress_basis or "", rules, row.pool, row.agent, ",".join(row.differs), row.detail)


def _marked(row: Row, name: str, text: str) -> str:
    """A star where a node differs from most."""
    return f"{text or NONE}*" if name in row.differs else text


def _object(row: Row) -> dict[str, object]:
    data = row.data or Published()
    lists = {name: _texts(getattr(data, field)) for name, field in _LISTS.items()}
    return {
        "cluster": row.cluster or None,
        "node": row.node,
        "pool": row.pool or None,
        "standing": row.standing.value,
        "status": row.status,
        "detail": row.detail or None,
        "agent": row.agent or None,
        "observedAt": _time(data.observed_at),
        "changedAt": _time(data.changed_at),
        "publicIp": None if data.public_ip is None else str(data.public_ip),
        **lists,
        "egressBasis": None if data.egress_basis is None else data.egress_basis.value,
        "inbound": None if data.inbound is None else [each.text for each in data.inbound],
        "revision": data.revision or None,
        "differs": list(row.differs),
        "omitted": list(data.omitted),
    }


def _csv(row: Row) -> tuple[str, ...]:
    """Several of a kind are separated by spaces; a list that is not known is a question mark."""
    value = _object(row)
    return tuple(_csv_cell(value[name], missing=UNKNOWN if name in _LISTS else "") for name in _CSV_HEADER)


def _csv_cell(value: object, *, missing: str) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value or missing)


def _texts(items: Iterable[object] | None) -> list[str] | None:
    return None if items is None else list(map(str, items))


def _time(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)
