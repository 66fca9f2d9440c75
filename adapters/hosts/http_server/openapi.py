"""The OpenAPI 3.1 description of the HTTP host, as ``GET /openapi.json`` gives it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from msgspec.json import schema_components

from adapters.hosts.http_server import messages
from adapters.hosts.http_server.infer import HEADER_LENGTH, VERSION
from adapters.hosts.http_server.state import Host
from adapters.hosts.http_server.upload import FIELD
from adapters.hosts.results import SHAPES

Schema = dict[str, Any]

_ERRORS = {
    "400": "What was sent is not what is taken.",
    "401": "No token, or a wrong one.",
    "403": "Not from here, or not this file.",
    "404": "There is no such model or file.",
    "408": "The body did not come in time.",
    "411": "The body's length is unknown.",
    "413": "The body is too large.",
    "415": "Of a type or encoding that is not taken.",
    "422": "The file cannot be read as a video.",
    "429": "Too much at a time; Retry-After tells when to ask again.",
    "503": "Shutting down, or no worker was free.",
    "504": "It took too long.",
}
_ALWAYS = ("401", "403", "503")

_MESSAGES = (
    *(messages.Error, messages.Server, messages.Ready, messages.Live, messages.ModelMetadata),
    *(messages.InferRequest, messages.InferAnswer, messages.VideoFile, messages.Row, messages.Label),
)


def describe(host: Host) -> Schema:
    """The description, with the models' names and the limits of this host."""
    name = {"name": "model", "in": "path", "required": True, "schema": {"enum": list(host.models)}}
    of_version = {"name": "version", "in": "path", "required": True, "schema": {"const": VERSION}}
    paths: dict[str, Schema] = {
        "/v2/health/live": {"get": _operation("live", "The process answers.", _ref("Live"), open_to_all=True)},
        "/v2/health/ready": {
            "get": _operation("ready", "It takes work.", _ref("Ready"), errors=("503",), open_to_all=True)
        },
        "/v2": {"get": _operation("server", "Name, version, extensions.", _ref("Server"))},
        "/v1/videos": {"post": _videos(host)},
        "/metrics": {"get": _operation("metrics", "For Prometheus.", {"type": "string"}, media_type="text/plain")},
        "/openapi.json": {"get": _operation("openapi", "This description.", {"type": "object"})},
    }
    for under, parameters in (("", [name]), ("/versions/{version}", [name, of_version])):
        part, suffix = f"/v2/models/{{model}}{under}", "_version" if under else ""
        paths[part] = {
            "parameters": parameters,
            "get": _operation(f"model{suffix}", "Inputs, outputs, labels.", _ref("ModelMetadata"), errors=("404",)),
        }
        paths[f"{part}/ready"] = {
            "parameters": parameters,
            "get": _operation(f"model_ready{suffix}", "It takes work.", _ref("Ready"), errors=("404",)),
        }
        paths[f"{part}/infer"] = {"parameters": parameters, "post": _infer(f"infer{suffix}")}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "cliplab",
            "version": server_version(),
            "description": "Video models: tensors by the Open Inference Protocol v2, whole videos at /v1/videos, and a "
            "WebSocket at /v1/stream (docs/hosts/http.md).",
        },
        "paths": paths,
        "components": {
            "schemas": _schemas(*_MESSAGES)[1],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}] if host.options.token else [],
    }


def server_version() -> str:
    """Of the installed package; "unknown" in a checkout that is not installed."""
    try:
        return version("cliplab")
    except PackageNotFoundError:
        return "unknown"


def _operation(
    name: str,
    summary: str,
    answer: Schema,
    *,
    errors: tuple[str, ...] = (),
    media_type: str = "application/json",
    open_to_all: bool = False,
) -> Schema:
    codes = sorted({*errors, *_ALWAYS, "400", "411", "413", "415"})
    found: Schema = {
        "operationId": name,
        "summary": summary,
        "responses": {
            "200": {"description": "As asked.", "content": {media_type: {"schema": answer}}},
            **{code: {"description": _ERRORS[code], "content": _error_content()} for code in codes},
        },
    }
    return {**found, "security": []} if open_to_all else found


def _infer(name: str) -> Schema:
    found = _operation(
        name,
        "Scores of tensors. The binary form is of type application/octet-stream both ways.",
        _ref("InferAnswer"),
        errors=("404", "408", "429", "504"),
    )
    binary = {"type": "string", "format": "binary"}
    found["responses"]["200"]["content"]["application/octet-stream"] = {"schema": binary}
    found["parameters"] = [
        {
            "name": HEADER_LENGTH,
            "in": "header",
            "description": "Of the binary form: how many bytes of the body are JSON; the tensor follows.",
            "schema": {"type": "integer", "minimum": 2},
        }
    ]
    found["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref("InferRequest")}}}
    return found


def _videos(host: Host) -> Schema:
    found = _operation(
        "videos",
        "One video's predictions: an upload, or a file under the server's root.",
        {"oneOf": list(_schemas(messages.Rows, messages.Pipeline)[0])},
        errors=("404", "408", "422", "429", "504"),
    )
    found["responses"]["507"] = {"description": "No room for the upload.", "content": _error_content()}
    above = {"type": "number", "exclusiveMinimum": 0}
    queries: dict[str, Schema] = {
        "model": {"enum": list(host.models)},
        "window_seconds": above,
        "stride_seconds": above,
        "top_k": {"type": "integer", "minimum": 1},
        "shape": {"enum": list(SHAPES)},
    }
    found["parameters"] = [
        {"name": name, "in": "query", "required": name == "model" and len(host.models) > 1, "schema": schema}
        for name, schema in queries.items()
    ]
    video = {"type": "string", "contentMediaType": "video/*", "format": "binary"}
    upload = {"type": "object", "required": [FIELD], "properties": {FIELD: video}, "additionalProperties": False}
    found["requestBody"] = {
        "required": True,
        "content": {"multipart/form-data": {"schema": upload}, "application/json": {"schema": _ref("VideoFile")}},
    }
    return found


def _error_content() -> Schema:
    return {"application/json": {"schema": _ref("Error")}}


def _schemas(*types: object) -> tuple[tuple[Schema, ...], Schema]:
    """The schema of each type, and by name those that they refer to."""
    return schema_components(types, ref_template="#/components/schemas/{name}")


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
