"""JSON schemas of the shapes of answers."""

from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from sidecar.api.description.answers import Schema

__all__ = ["Shapes"]


@dataclass(slots=True)
class Shapes:
    """Schemas of types, and those that they refer to."""

    components: dict[str, Schema] = field(default_factory=dict)

    def of(self, shape: Any) -> Schema:  # noqa: ANN401 - any type can be a shape
        """The schema of a type; what it refers to becomes a component."""
        schema = TypeAdapter(shape).json_schema(
            ref_template="#/components/schemas/{model}", mode="serialization", schema_generator=_Untitled
        )
        self.components.update(schema.pop("$defs", {}))
        name = getattr(shape, "__name__", "")
        if schema.get("type") != "object" or "properties" not in schema:
            return schema
        self.components[name] = schema
        return {"$ref": f"#/components/schemas/{name}"}


class _Untitled(GenerateJsonSchema):
    """Without titles that repeat names."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401 - pydantic's own types
        del schema
        return False
