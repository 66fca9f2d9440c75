"""The OpenAPI 3.1 description of the HTTP host, which ``GET /openapi.json`` returns."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from msgspec.json import schema_components

from adapters.hosts.http_server import messages
from adapters.hosts.http_server.infer import HEADER_LENGTH, VERSION
from adapters.hosts.http_server.state import HttpHost
from adapters.hosts.http_server.upload import FIELD
from adapters.hosts.results import SHAPES

Schema = dict[str, Any]

_ERRORS = {
    "400": "The request is not valid.",
    "401": "The token is missing or wrong.",
    "403": "The caller or the file is not allowed.",
    "404": "The model or file does not exist.",
    "408": "The body did not arrive in time.",
    "411": "The body's length is unknown: Content-Length is missing.",
    "413": "The body is too large.",
    "415": "The body's type or encoding is not supported.",
    "422": "The file cannot be read as a video.",
    "429": "Too many requests at a time; Retry-After says when to try again.",
    "503": "The server is shutting down, or no worker was free.",
    "504": "The work took too long.",
}
_ALWAYS = ("401", "403", "503")

_MESSAGES = (
    *(messages.Error, messages.Server, messages.Ready, messages.Live, messages.ModelMetadata),
    *(messages.InferRequest, messages.InferAnswer, messages.VideoFile, messages.Row, messages.Label),
)


def describe(host: HttpHost) -> Schema:
    """The description as JSON.

    Args:
        host: Whose models are the allowed values of ``model``; with a token, requests need it.
    """
    name = {"name": "model", "in": "path", "required": True, "schema": {"enum": list(host.models)}}
    of_version = {"name": "version", "in": "path", "required": True, "schema": {"const": VERSION}}
    paths: dict[str, Schema] = {
        "/v2/health/live": {"get": _operation("live", "Whether the process is alive.", _ref("Live"), open_to_all=True)},
        "/v2/health/ready": {
            "get": _operation("ready", "Whether it accepts work.", _ref("Ready"), errors=("503",), open_to_all=True)
        },
        "/v2": {"get": _operation("server", "The server's name, version and extensions.", _ref("Server"))},
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
            "get": _operation(f"model_ready{suffix}", "Whether it accepts work.", _ref("Ready"), errors=("404",)),
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
    """The version of the installed package; "unknown" in a checkout that is not installed."""
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
            "200": {"description": "Success.", "content": {media_type: {"schema": answer}}},
            **{code: {"description": _ERRORS[code], "content": _error_content()} for code in codes},
        },
    }
    return {**found, "security": []} if open_to_all else found


def _infer(name: str) -> Schema:
    found = _operation(
        name,
        "Scores of tensors. In the binary form, request and answer are application/octet-stream.",
        _ref("InferAnswer"),
        errors=("404", "408", "429", "504"),
    )
    binary = {"type": "string", "format": "binary"}
    found["responses"]["200"]["content"]["application/octet-stream"] = {"schema": binary}
    found["parameters"] = [
        {
            "name": HEADER_LENGTH,
            "in": "header",
            "description": "In the binary form, how many bytes of the body are JSON; the tensor follows.",
            "schema": {"type": "integer", "minimum": 2},
        }
    ]
    found["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref("InferRequest")}}}
    return found


def _videos(host: HttpHost) -> Schema:
    found = _operation(
        "videos",
        "One video's predictions: an upload, or a file under the server's root.",
        {"oneOf": list(_schemas(messages.Rows, messages.Pipeline)[0])},
        errors=("404", "408", "422", "429", "504"),
    )
    found["responses"]["507"] = {"description": "The disk is too full for the upload.", "content": _error_content()}
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
