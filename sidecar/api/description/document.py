"""The OpenAPI document."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from sidecar.api import models
from sidecar.api.description.answers import ANSWERS, HEADERS, PARAMETERS, REASONS, ResponseSpec, Schema
from sidecar.api.endpoints import ENDPOINTS
from sidecar.api.request import JSON, TEXT, Forms, Kind, Route

_SUFFIX = "Model"
"""What tells a shape of the API from the value that it shows; its readers know nothing of it."""


class UntitledSchema(GenerateJsonSchema):
    """Without titles that repeat names, and with the names that readers know."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401 - pydantic's own types
        """Never: their names say it."""
        del schema
        return False

    def normalize_name(self, name: str) -> str:
        """What a shape is called where it is referred to."""
        return super().normalize_name(name).removesuffix(_SUFFIX)

    def typed_dict_schema(self, schema: Any) -> dict[str, Any]:  # noqa: ANN401 - pydantic's own types
        """Its title is the same name."""
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
_CACHED = (Kind.DATA, Kind.STATIC)

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
    paths = {path: _path(endpoint, ANSWERS[path], shapes) for path, endpoint in ENDPOINTS.items()}
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
    """The answers without data, in one of the two forms of errors."""
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


def _path(endpoint: Route, answer: ResponseSpec, shapes: Shapes) -> Schema:
    name = endpoint.path.strip("/").replace("/", "-").replace("{", "").replace("}", "") or "page"
    content = _content(endpoint, answer, shapes)
    return {
        "parameters": [*_parameters(endpoint)],
        "get": _described(
            answer.description,
            operationId=f"get-{name}",
            summary=answer.summary,
            responses={"200": _answered(endpoint, content), **_unanswered(endpoint, answer)},
        ),
        "head": {
            "operationId": f"head-{name}",
            "summary": f"{answer.summary}: the headers alone",
            "responses": {
                "200": _answered(endpoint, {}),
                **{status: {"description": "As with GET."} for status in _unanswered(endpoint, answer)},
            },
        },
    }


def _answered(endpoint: Route, content: Schema) -> Schema:
    data = {name: {"$ref": f"#/components/headers/{name}"} for name in HEADERS}
    response: Schema = {"description": "The answer."}
    if endpoint.kind is Kind.DATA:
        response["headers"] = data
    if content:
        response["content"] = content
    return response


def _unanswered(endpoint: Route, answer: ResponseSpec) -> Schema:
    suffix = "-metadata" if endpoint.path.startswith("/metadata/") else ""
    responses: Schema = {}
    if endpoint.kind in _CACHED:
        responses["304"] = {"description": "What `If-None-Match` names is what there is."}
    for status in _statuses(endpoint, answer):
        responses[str(status)] = {"$ref": f"#/components/responses/{status}{suffix}"}
    return responses


def _statuses(endpoint: Route, answer: ResponseSpec) -> Iterable[int]:
    yield 400
    if not endpoint.path.startswith("/metadata/") and endpoint.kind is not Kind.STATIC:
        yield 403
    if answer.nothing:
        yield 404
    yield from (421, 503)


def _content(endpoint: Route, answer: ResponseSpec, shapes: Shapes) -> Schema:
    if endpoint.kind in _STREAMED:
        return {_STREAMED[endpoint.kind]: {"schema": {"type": "string"}}}
    content: Schema = {JSON: {"schema": shapes.of(answer.shape)}}
    if endpoint.forms in (Forms.JSON_OR_TEXT, Forms.TEXT_OR_JSON):
        content[TEXT] = {"schema": {"type": "string"}, "example": answer.text}
    return content


def _parameters(endpoint: Route) -> Iterable[Schema]:
    names = sorted(endpoint.parameters - endpoint.required)
    if endpoint.path.endswith("}"):
        yield _reference("ip")
    for name in sorted(endpoint.required):
        yield {**_parameter(name), "required": True}
    for name in names:
        if name == "format" and endpoint.forms is Forms.JSON:
            yield {**_parameter(name), "schema": {"enum": ["json"]}}
        else:
            yield _reference(name)
    if endpoint.metadata_header:
        yield _reference("Metadata")
    yield from map(_reference, _CONDITIONS[endpoint.kind])


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/parameters/{name}"}


def _parameter(name: str) -> Schema:
    text, schema = PARAMETERS[name]
    place = "path" if name == "ip" else "header" if name in _IN_HEADER else "query"
    required = {"required": True} if name in ("ip", "Metadata") else {}
    return _described(text, name=name, **{"in": place}, schema=schema, **required)


def _described(text: str, **members: Any) -> Schema:  # noqa: ANN401 - JSON
    return {**({"description": text} if text else {}), **members}
