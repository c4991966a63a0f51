"""``rules``: frontends as a table, CSV, JSON or YAML."""

from collections.abc import Sequence
from datetime import datetime

from sidecar.commands.tables import UNKNOWN, age, as_csv, as_form, as_table, shortened
from sidecar.core.fleet.frontends import Frontend, Missing, Since
from sidecar.core.instant import rfc3339

__all__ = ["FOOTER", "FORMS", "rendered"]

FORMS = ("table", "wide", "csv", "json", "yaml")

FOOTER = (
    "the metadata service shows what is configured, not the state of health probes: "
    "a node that has a rule may get no traffic"
)

_HEADER = ("FRONTEND", "BACKEND-PORT", "NODES", "SERVICE", "MISSING", "SINCE")
_CSV_HEADER = ("frontend", "backendPorts", "nodesWithRule", "nodes", "services", "missing", "since")
_FEW = 3
_SIGNS = {Since.REMOVED: "", Since.ADDED_ELSEWHERE: "", Since.AT_LEAST: ">"}


def rendered(
    found: Sequence[Frontend], form: str, *, complete: bool, problems: Sequence[str], now: datetime
) -> str:
    """The frontends in one of the ``FORMS``."""
    if form in {"json", "yaml"}:
        value = {
            "complete": complete,
            "note": FOOTER,
            "problems": list(problems),
            "rules": list(map(_object, found)),
        }
        return as_form(value, form)
    if form == "csv":
        return as_csv(_CSV_HEADER, map(_csv, found))
    return as_table(_HEADER, (_cells(each, wide=form == "wide", now=now) for each in found))


def _cells(frontend: Frontend, *, wide: bool, now: datetime) -> tuple[str, ...]:
    most = len(frontend.missing) if wide else _FEW
    return (
        frontend.endpoint.text,
        _ports(frontend),
        f"{frontend.having}/{frontend.of}",
        _owners(frontend),
        shortened([each.node for each in frontend.missing], most=most),
        ",".join(_since(each, now=now) for each in frontend.missing[:most]),
    )


def _csv(frontend: Frontend) -> tuple[str, ...]:
    """Several of a kind are separated by spaces; what is not known is a question mark."""
    return (
        frontend.endpoint.text,
        " ".join(map(str, frontend.backend_ports)) or UNKNOWN,
        str(frontend.having),
        str(frontend.of),
        UNKNOWN
        if frontend.owners is None
        else " ".join(each.service for each in frontend.owners if each.exact),
        " ".join(each.node for each in frontend.missing),
        " ".join(_time(each) or UNKNOWN for each in frontend.missing),
    )


def _ports(frontend: Frontend) -> str:
    return ",".join(map(str, frontend.backend_ports)) or UNKNOWN


def _owners(frontend: Frontend) -> str:
    return UNKNOWN if frontend.owners is None else ",".join(map(str, frontend.owners))


def _since(missing: Missing, *, now: datetime) -> str:
    """``12m``; ``>3d`` where it may be longer."""
    return f"{_SIGNS[missing.basis]}{age(missing.since, now=now) or UNKNOWN}"


def _time(missing: Missing) -> str | None:
    return None if missing.since is None else rfc3339(missing.since)


def _object(frontend: Frontend) -> dict[str, object]:
    owners = frontend.owners
    return {
        "frontend": frontend.endpoint.text,
        "protocol": frontend.endpoint.protocol,
        "frontendIpAddress": frontend.endpoint.address,
        "frontendPort": frontend.endpoint.port,
        "backendPorts": list(frontend.backend_ports) or None,
        "nodesWithRule": frontend.having,
        "nodes": frontend.of,
        "services": None
        if owners is None
        else [{"service": each.service, "hasPort": each.exact} for each in owners],
        "missing": [
            {"node": each.node, "since": _time(each), "basis": each.basis.value} for each in frontend.missing
        ],
    }
