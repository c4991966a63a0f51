"""Scenarios: what the simulated service says, to whom and when.

A scenario is YAML in camelCase::

    document: all
    steps:
      - at: 30s
        fault: unavailable
      - at: 1m
        fault: none
"""

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from sidecar.simulator.conditions import Behaviour, Document, Model, Network, OptionalFault, Seconds


class Step(Model):
    """A change at a time after the start; what is not named stays as it is."""

    at: Seconds
    document: Document | None = None
    fault: OptionalFault = None
    addresses: dict[Network, Document] | None = None
    rate_limit: bool | None = None

    def changes(self) -> dict[str, object]:
        """The members of the conditions that the step names."""
        return {name: getattr(self, name) for name in self.model_fields_set - {"at"}}

    @model_validator(mode="after")
    def _only_fault_can_be_cleared(self) -> "Step":
        for name, value in self.changes().items():
            if value is None and name != "fault":
                raise ValueError(f"{to_camel(name)} is empty: leave it out, or say what it changes to")
        return self


class Scenario(Behaviour):
    """Conditions at the start and their changes over time."""

    steps: tuple[Step, ...] = ()
    repeat_every: Seconds | None = None
    """Seconds after which everything begins anew; None is never."""
    seed: int | None = None
    """Makes faults with a probability strike the same requests every time."""

    @model_validator(mode="after")
    def _steps_in_order(self) -> "Scenario":
        times = [step.at for step in self.steps]
        if times != sorted(times):
            raise ValueError("steps must be in the order of their times")
        if self.repeat_every is not None and self.repeat_every <= max(times, default=0):
            raise ValueError("repeatEvery must be later than the last step")
        return self

    def conditions(self) -> Behaviour:
        """The conditions at the start."""
        return Behaviour.model_construct(**{name: getattr(self, name) for name in Behaviour.model_fields})


def load_scenario(path: Path) -> Scenario:
    """The scenario of a YAML file.

    Raises:
        ScenarioError: The file is not YAML, or not a scenario.
        OSError: It cannot be read.
    """
    return parse_scenario(path.read_text(encoding="utf-8"))


def parse_scenario(text: str) -> Scenario:
    """The scenario of a YAML text; an empty text is the scenario of defaults.

    Raises:
        ScenarioError: The text is not YAML, or not a scenario.
    """
    value = parse_yaml(text)
    return checked(Scenario, {} if value is None else value)


class ScenarioError(ValueError):
    """A scenario or a part of one is wrong: one line that names the place and what is allowed."""


class _Loader(yaml.SafeLoader):
    """YAML without timestamps: 2020-10-01 is a version here, hence a text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse_yaml(text: str) -> object:
    """The value of a YAML text, hence also of JSON or of a plain word.

    Raises:
        ScenarioError: The text is not YAML.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 -- the loader is the safe one
    except yaml.MarkedYAMLError as error:
        place = error.problem_mark
        where = f"line {place.line + 1}, column {place.column + 1}: " if place else ""
        raise ScenarioError(f"{where}{error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ScenarioError(" ".join(str(error).split())) from error


_Value = TypeVar("_Value")


def checked(kind: type[_Value], value: object) -> _Value:
    """The value as the given type.

    Raises:
        ScenarioError: It does not fit.
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise ScenarioError(_first_line(error)) from error


def _first_line(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    cause = first.get("ctx", {}).get("error")
    return f"{place.lstrip('.') or 'scenario'}: {cause or first['msg']}"
