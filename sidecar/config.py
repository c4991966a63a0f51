"""Reads the settings of ``run`` from flags and environment variables, and names what is wrong."""

import os
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_settings import CliSettingsSource, EnvSettingsSource

from sidecar.core.instant import print_duration
from sidecar.errors import UsageError
from sidecar.settings import ENVIRONMENT_PREFIX, FALLBACK_VARIABLES, Settings, flag, named, variable

_INJECTED = re.compile(
    f"{ENVIRONMENT_PREFIX}(PORT|SERVICE)($|_)"
    f"|{ENVIRONMENT_PREFIX}[A-Z0-9_]+_"
    "(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$"
)
"""Kubernetes injects these for a Service named like us, or whose name begins so; they are never settings.

https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
"""

_PASSWORD = re.compile(r"//[^/@\s]*:[^@\s]*@")
"""Name and password in a URL: standard error is kept for others to read."""

_METAVARS = {
    **dict.fromkeys(("upstream", "imds_endpoint"), "URL"),
    **dict.fromkeys(("listen", "admin_listen"), "ADDRESS:PORT"),
    **dict.fromkeys(("kubeconfig", "file", "egress_probe_ca"), "PATH"),
    **dict.fromkeys(("node_name", "context"), "NAME"),
    "imds_api_version": "DATE",
    **dict.fromkeys(("max_clients", "egress_probe_flows"), "NUMBER"),
    "egress_declared": "NETWORK,...",
    "egress_probe": "URL,...",
    "allow_from": "NETWORK,...",
    "node_address": "ADDRESS",
    "annotation_prefix": "DOMAIN",
    "previous_annotation_prefixes": "DOMAIN,...",
    **dict.fromkeys(("annotation_budget", "max_header_size"), "BYTES"),
    "annotate": "{full,summary}",
    "log_format": "{json,text}",
    "log_level": "{debug,info,warning,error}",
}
"""The placeholder of a flag's value in ``--help``, where it is not a duration."""

_COMMON = {"upstream": "imds", "annotations": True}
"""For defaults that depend on other settings: the values of those for which ``--help`` shows them."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and where each of them came from."""

    settings: Settings
    origins: Mapping[str, str]
    """By field: the flag or variable that set it, or ``default``."""
    arguments: Namespace
    """What the command's own parser found."""


def load(arguments: Sequence[str], *, parser: ArgumentParser) -> Loaded:
    """Read flags, variables and defaults.

    Args:
        arguments: The command line after the command's name.
        parser: Has the command's own arguments, which have no variable; gets the settings' flags.

    Raises:
        UsageError: something is wrong; the text names flag and variable.
    """
    source: CliSettingsSource[Any] = CliSettingsSource(
        Settings, root_parser=parser, add_argument_method=_add_argument
    )
    parsed = parser.parse_args(arguments)
    with _explained():
        source = source(parsed_args=parsed)
        settings = Settings(_cli_settings_source=source)
    flags, variables = source(), EnvSettingsSource(Settings)()
    origins = {}
    for field in Settings.model_fields:
        if field in flags:
            origins[field] = flag(field)
        elif field in variables:
            origins[field] = variable(field)
        else:
            common = FALLBACK_VARIABLES.get(field, "")
            origins[field] = common if os.environ.get(common) else "default"
    return Loaded(settings=settings, origins=origins, arguments=parsed)


def load_variables(**given: object) -> Settings:
    """Read variables and defaults, for a command that does not have the settings as flags.

    Args:
        given: By field, values that come before the variables.

    Raises:
        UsageError: something is wrong; the text names flag and variable.
    """
    values: dict[str, Any] = given
    with _explained():
        return Settings(**values)


@contextmanager
def _explained() -> Iterator[None]:
    """Turn the first mistake into one line."""
    try:
        yield
    except ValidationError as error:
        mistake = error.errors()[0]
        name, given = named(str(mistake["loc"][0])), repr(mistake["input"])
        message = mistake["msg"].removeprefix("Value error, ")
        text = f"{name}: {message}" if given in message else f"{name}: {given}: {message}"
        raise UsageError(_PASSWORD.sub("//...@", text)) from error


def _add_argument(parser: Any, *names: str, **options: Any) -> None:  # noqa: ANN401 - argparse's own types
    """Describe a flag with a default that people can read."""
    field = Settings.model_fields[options["dest"]]
    if "metavar" in options:
        options["metavar"] = _METAVARS.get(options["dest"], "DURATION")
    default = shown(field.get_default(call_default_factory=True, validated_data=_COMMON))
    text = f"{field.description} [{default}]" if default else f"{field.description}"
    parser.add_argument(*names, **{**options, "help": text.replace("%", "%%")})


def shown(value: object) -> str:
    """A setting's value as it would be written; empty if it is not set."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return print_duration(value)
        case tuple():
            return ",".join(map(str, value))
        case _:
            return str(value)


def misspelt_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables with our prefix that are no setting, each with the nearest one that is."""
    import difflib  # noqa: PLC0415 - of no use to an agent whose variables are right

    known = [variable(field) for field in Settings.model_fields]
    return {
        name: difflib.get_close_matches(name, known, n=1, cutoff=0)[0]
        for name in sorted(environ)
        if name.startswith(ENVIRONMENT_PREFIX) and name not in known and _INJECTED.match(name) is None
    }
