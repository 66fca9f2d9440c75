"""The OpenAPI 3.1 description of the HTTP host, as ``GET /openapi.json`` gives it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from adapters.hosts.http_server.infer import HEADER_LENGTH, INPUT, LABELS, SCORES, VERSION
from adapters.hosts.http_server.state import HttpHost
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


def _object(required: dict[str, Schema], optional: dict[str, Schema] | None = None, closed: bool = False) -> Schema:
    schema: Schema = {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
    }
    return {**schema, "additionalProperties": False} if closed else schema


_TEXT: Schema = {"type": "string"}
_SCORE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_SHAPE: Schema = {"type": "array", "items": {"type": "integer"}}
_LABEL = _object({"label": _TEXT, "score": _SCORE}, closed=True)
_TENSOR_KIND = _object({"name": _TEXT, "datatype": _TEXT, "shape": _SHAPE}, closed=True)

SCHEMAS: dict[str, Schema] = {
    "Error": _object({"error": _TEXT}, closed=True),
    "Server": _object({"name": _TEXT, "version": _TEXT, "extensions": {"type": "array", "items": _TEXT}}, closed=True),
    "Ready": _object({"ready": {"type": "boolean"}}, closed=True),
    "Live": _object({"live": {"type": "boolean"}}, closed=True),
    "Model": _object(
        {
            "name": _TEXT,
            "versions": {"type": "array", "items": _TEXT},
            "platform": _TEXT,
            "inputs": {"type": "array", "items": _TENSOR_KIND},
            "outputs": {"type": "array", "items": _TENSOR_KIND},
        },
        {"parameters": {"type": "object", "description": "labels, in the order of the scores, and task."}},
    ),
    "InferRequest": _object(
        {
            "inputs": {
                "type": "array",
                "minItems": 1,
                "maxItems": 1,
                "items": _object(
                    {
                        "name": {"const": INPUT},
                        "datatype": {"const": "UINT8"},
                        "shape": {
                            "type": "array",
                            "description": "Clips, frames, height, width, 3.",
                            "prefixItems": [*[{"type": "integer", "minimum": 1}] * 4, {"const": 3}],
                            "minItems": 5,
                            "maxItems": 5,
                        },
                        "data": {
                            "type": "array",
                            "description": "RGB levels, row by row: flat, or nested as the shape is.",
                            "items": {"oneOf": [{"type": "integer", "minimum": 0, "maximum": 255}, {"type": "array"}]},
                        },
                    },
                    {"parameters": {"type": "object"}},
                ),
            }
        },
        {
            "id": _TEXT,
            "parameters": {"type": "object"},
            "outputs": {
                "type": "array",
                "items": _object({"name": {"enum": [SCORES, LABELS]}}, {"parameters": {"type": "object"}}),
            },
        },
    ),
    "InferAnswer": _object(
        {
            "model_name": _TEXT,
            "model_version": _TEXT,
            "outputs": {
                "type": "array",
                "items": _object(
                    {"name": _TEXT, "datatype": _TEXT, "shape": _SHAPE},
                    {"data": {"type": "array"}, "parameters": {"type": "object"}},
                ),
            },
        },
        {"id": _TEXT},
    ),
    "Rows": {
        "type": "array",
        "description": "One row, as `cliplab predict --json` writes it.",
        "items": _object(
            {
                "path": _TEXT,
                "predictions": {
                    "type": "array",
                    "items": _object(
                        {
                            "start": {"type": "number"},
                            "end": {"type": "number"},
                            "labels": {"type": "array", "items": _LABEL},
                        },
                        closed=True,
                    ),
                },
                "error": {"type": "null"},
            },
            {"warnings": {"type": "array", "items": _TEXT}},
            closed=True,
        ),
    },
    "Pipeline": {
        "type": "array",
        "description": "As Hugging Face's video-classification pipeline gives it.",
        "items": _LABEL,
    },
}


def describe(host: HttpHost) -> Schema:
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
        "/metrics": {"get": _operation("metrics", "For Prometheus.", _TEXT, media_type="text/plain")},
        "/openapi.json": {"get": _operation("openapi", "This description.", {"type": "object"})},
    }
    for under, parameters in (("", [name]), ("/versions/{version}", [name, of_version])):
        part, suffix = f"/v2/models/{{model}}{under}", "_version" if under else ""
        paths[part] = {
            "parameters": parameters,
            "get": _operation(f"model{suffix}", "Inputs, outputs, labels.", _ref("Model"), errors=("404",)),
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
            "schemas": SCHEMAS,
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


def _videos(host: HttpHost) -> Schema:
    found = _operation(
        "videos",
        "One video's predictions: an upload, or a file under the server's root.",
        {"oneOf": [_ref("Rows"), _ref("Pipeline")]},
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
    upload = _object({FIELD: {"type": "string", "contentMediaType": "video/*", "format": "binary"}}, closed=True)
    path = _object({"path": {"type": "string", "minLength": 1}}, closed=True)
    found["requestBody"] = {
        "required": True,
        "content": {"multipart/form-data": {"schema": upload}, "application/json": {"schema": path}},
    }
    return found


def _error_content() -> Schema:
    return {"application/json": {"schema": _ref("Error")}}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
