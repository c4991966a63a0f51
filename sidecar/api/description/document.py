"""The OpenAPI document."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from sidecar.api import models
from sidecar.api.description.answers import ANSWERS, HEADERS, PARAMETERS, REASONS, ResponseSpec, Schema
from sidecar.api.endpoints import ENDPOINTS
from sidecar.api.request import JSON, TEXT, Forms, Kind, Route

_SUFFIX = "Model"
"""Distinguishes the type of a JSON shape from the value that it shows; removed from published names."""


class UntitledSchema(GenerateJsonSchema):
    """Leaves out titles that repeat names, and the suffix of models."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401 - pydantic's own types
        """Never: a title would repeat the name."""
        del schema
        return False

    def normalize_name(self, name: str) -> str:
        """The name of a component, without the suffix."""
        return super().normalize_name(name).removesuffix(_SUFFIX)

    def typed_dict_schema(self, schema: Any) -> dict[str, Any]:  # noqa: ANN401 - pydantic's own types
        """The schema, with the same name as its title."""
        made = super().typed_dict_schema(schema)
        return {**made, "title": made["title"].removesuffix(_SUFFIX)}


@dataclass(slots=True)
class Shapes:
    """Schemas of types, and those that they refer to."""

    components: dict[str, Schema] = field(default_factory=dict)

    def of(self, shape: Any) -> Schema:  # noqa: ANN401 - any type can be a shape
        """The schema of a type; what it refers to becomes a component."""
        schema = TypeAdapter(shape).json_schema(
            ref_template="#/components/schemas/{model}", mode="serialization", schema_generator=UntitledSchema
        )
        self.components.update(schema.pop("$defs", {}))
        name = getattr(shape, "__name__", "").removesuffix(_SUFFIX)
        if schema.get("type") != "object" or "properties" not in schema:
            return schema
        self.components[name] = schema
        return {"$ref": f"#/components/schemas/{name}"}


_STREAMED: Mapping[Kind, str] = {Kind.EVENTS: "text/event-stream", Kind.PAGE: "text/html"}

_CONDITIONS: Mapping[Kind, tuple[str, ...]] = {
    Kind.DATA: ("If-None-Match", "Prefer"),
    Kind.STATIC: ("If-None-Match",),
    Kind.EVENTS: ("Last-Event-ID",),
    Kind.PAGE: (),
}
"""The headers that decide when, and whether, there is a body."""

_IN_HEADER = frozenset(("Metadata", *(name for names in _CONDITIONS.values() for name in names)))


def describe() -> Schema:
    """The OpenAPI document."""
    shapes = Shapes()
    paths = {path: _path(route, ANSWERS[path], shapes) for path, route in ENDPOINTS.items()}
    responses = {**_responses(shapes, "application/problem+json", models.Problem, suffix="")}
    responses |= _responses(shapes, JSON, models.MetadataError, suffix="-metadata")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "azure-lb-metadata",
            "version": "1",
            "summary": "The Azure load balancer facts of a Kubernetes node.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(shapes.components.items())),
            "headers": {name: _described(text, schema=schema) for name, (text, schema) in HEADERS.items()},
            "parameters": {name: _parameter(name) for name in PARAMETERS},
            "responses": responses,
        },
    }


def _responses(shapes: Shapes, media_type: str, shape: Any, *, suffix: str) -> Schema:  # noqa: ANN401 - any type
    """The error responses, in one of their two shapes."""
    content = {media_type: {"schema": shapes.of(shape)}}
    retry_after = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return {
        f"{status}{suffix}": {
            "description": reason,
            **({"headers": retry_after} if status == 503 else {}),
            "content": content,
        }
        for status, reason in REASONS.items()
    }


def _path(route: Route, answer: ResponseSpec, shapes: Shapes) -> Schema:
    name = route.path.strip("/").replace("/", "-").replace("{", "").replace("}", "") or "page"
    answered: Schema = {"description": "The answer."}
    if route.kind is Kind.DATA:
        answered["headers"] = {header: {"$ref": f"#/components/headers/{header}"} for header in HEADERS}
    if route.kind in _STREAMED:
        content: Schema = {_STREAMED[route.kind]: {"schema": {"type": "string"}}}
    else:
        content = {JSON: {"schema": shapes.of(answer.shape)}}
        if route.forms in (Forms.JSON_OR_TEXT, Forms.TEXT_OR_JSON):
            content[TEXT] = {"schema": {"type": "string"}, "example": answer.text}

    drop_in = route.path.startswith("/metadata/")
    unanswered: Schema = {}
    if route.kind in (Kind.DATA, Kind.STATIC):
        unanswered["304"] = {"description": "What `If-None-Match` names is what there is."}
    forwarded = [] if drop_in or route.kind is Kind.STATIC else [403]
    for status in (400, *forwarded, *([404] if answer.nothing else []), 421, 503):
        response = f"{status}-metadata" if drop_in else str(status)
        unanswered[str(status)] = {"$ref": f"#/components/responses/{response}"}

    return {
        "parameters": list(_parameters(route)),
        "get": _described(
            answer.description,
            operationId=f"get-{name}",
            summary=answer.summary,
            responses={"200": {**answered, "content": content}, **unanswered},
        ),
        "head": {
            "operationId": f"head-{name}",
            "summary": f"{answer.summary}: the headers alone",
            "responses": {
                "200": answered,
                **{status: {"description": "As with GET."} for status in unanswered},
            },
        },
    }


def _parameters(route: Route) -> Iterator[Schema]:
    """Those of the path, of the query (required ones first), and of the headers."""
    if route.path.endswith("}"):
        yield _reference("ip")
    for name in sorted(route.required):
        yield {**_parameter(name), "required": True}
    for name in sorted(route.parameters - route.required):
        if name == "format" and route.forms is Forms.JSON:
            yield {**_parameter(name), "schema": {"enum": ["json"]}}
        else:
            yield _reference(name)
    if route.metadata_header:
        yield _reference("Metadata")
    yield from map(_reference, _CONDITIONS[route.kind])


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/parameters/{name}"}


def _parameter(name: str) -> Schema:
    text, schema = PARAMETERS[name]
    place = "path" if name == "ip" else "header" if name in _IN_HEADER else "query"
    required = {"required": True} if name in ("ip", "Metadata") else {}
    return _described(text, name=name, **{"in": place}, schema=schema, **required)


def _described(text: str, **members: Any) -> Schema:  # noqa: ANN401 - JSON
    return {**({"description": text} if text else {}), **members}
