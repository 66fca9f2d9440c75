"""The routes, each with the place in dtlpy that calls it and reads its answer; a test looks whether that is there."""

from __future__ import annotations

import base64
import copy
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from starlette.responses import JSONResponse, Response

from dataloop_gateway.query import Json, matches, page
from dataloop_gateway.state import USER, WHEN, Request, State

Handler = Callable[..., Response | Json | list[Json]]


@dataclass(frozen=True)
class Route:
    """method and path with {names}; places: ``file: Class.method`` of dtlpy."""

    method: str
    path: str
    places: tuple[str, ...]
    handler: Handler

    def parameters(self, method: str, path: str) -> dict[str, str] | None:
        found = re.fullmatch(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", self.path), path)
        return found.groupdict() if found and method == self.method else None


ROUTES: list[Route] = []


def route(method: str, path: str, *places: str) -> Callable[[Handler], Handler]:
    def add(handler: Handler) -> Handler:
        ROUTES.append(Route(method, path, places, handler))
        return handler

    return add


class NotThere(Exception):
    """An id that the service does not know: answered with 404."""


def one(entries: dict[str, Json], key: str) -> Json:
    if key not in entries:
        raise NotThere(key)
    return entries[key]


# People, projects, datasets -----------------------------------------------------------------------------------------


@route("GET", "/users/me", "services/api_client.py: ApiClient.login_token")
def me(state: State, request: Request) -> Json:
    return {"id": USER, "email": USER}


@route("GET", "/projects/{project}", "repositories/projects.py: Projects.__get_by_id")
def project_by_id(state: State, request: Request, project: str) -> Json:
    return one(state.projects, project)


@route("GET", "/projects/{name}/name", "repositories/projects.py: Projects.__get_by_name")
def projects_by_name(state: State, request: Request, name: str) -> list[Json]:
    return [project for project in state.projects.values() if project["name"] == name]


@route("POST", "/datasets/query", "repositories/datasets.py: Datasets.list")
def datasets(state: State, request: Request) -> Json:
    wanted = set(request.body.get("context", {}).get("projects", state.projects))
    hidden = bool(request.body.get("systemSpace"))
    found = [d for d in state.datasets.values() if wanted & set(d["projects"]) and (hidden or not d["system"])]
    return page((d for d in found if matches(d, request.body["filter"])), request.body)


@route("GET", "/datasets/{dataset}", "repositories/datasets.py: Datasets.__get_by_id")
def dataset_by_id(state: State, request: Request, dataset: str) -> Json:
    return one(state.datasets, dataset)


@route("GET", "/recipes/{recipe}", "repositories/recipes.py: Recipes.get")
def recipe_by_id(state: State, request: Request, recipe: str) -> Json:
    return one(state.recipes, recipe)


@route("GET", "/ontologies/{ontology}", "repositories/ontologies.py: Ontologies.get")
def ontology_by_id(state: State, request: Request, ontology: str) -> Json:
    return one(state.ontologies, ontology)


# Items --------------------------------------------------------------------------------------------------------------


@route(
    "POST",
    "/datasets/{dataset}/query",
    "repositories/items.py: Items._list",
    "repositories/items.py: Items.delete",
    "repositories/annotations.py: Annotations._list",
)
def entries_of_dataset(state: State, request: Request, dataset: str) -> Json:
    body = request.body
    one(state.datasets, dataset)
    if body.get("resource", "items") == "annotations":
        found = state.find_annotations(dataset, body["filter"])
        if body.get("delete"):
            return {"deleted": state.delete(found, lambda all_: all_.annotations)}
        return page(found, body)
    found = state.find_items(dataset, body)
    if body.get("delete"):
        return {"deleted": state.delete(found, lambda all_: all_.items)}
    return page(found, body)


@route("GET", "/items/{item}", "repositories/items.py: Items.get")
def item_by_id(state: State, request: Request, item: str) -> Json:
    return one(state.items, item)


@route("DELETE", "/items/{item}", "repositories/items.py: Items.delete")
def delete_item(state: State, request: Request, item: str) -> Json:
    return {"deleted": state.delete([one(state.items, item)], lambda all_: all_.items)}


@route("GET", "/items/{item}/stream", "repositories/downloader.py: Downloader.__thread_download")
def stream(state: State, request: Request, item: str) -> Response:
    one(state.items, item)
    first = int(re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", "bytes=0-")).group(1))  # type: ignore[union-attr]
    kind = state.items[item]["metadata"]["system"]["mimetype"]
    return Response(state.files[item][first:], 206 if first else 200, media_type=kind)


@route("POST", "/datasets/{dataset}/items", "repositories/uploader.py: Uploader.__single_async_upload")
def upload_item(state: State, request: Request, dataset: str) -> Response:
    form = request.body
    names = {entry["filename"] for entry in state.items_of(dataset)}
    metadata = json.loads(form["metadata"]) if "metadata" in form else None
    item = state.add_item(dataset, form["path"], form["file"], metadata)
    done = "overwrite" if form["path"] in names else "created"
    return JSONResponse(item, headers={"x-item-op": done})


@route("POST", "/items/{item}/annotations", "repositories/annotations.py: Annotations._upload_single_batch")
def upload_annotations(state: State, request: Request, item: str) -> list[Json]:
    one(state.items, item)
    bodies = request.body if isinstance(request.body, list) else [request.body]
    return [state.add_annotation(item, body) for body in bodies]


@route("POST", "/datasets/{dataset}/export", "repositories/datasets.py: Datasets._export_recursive")
def export(state: State, request: Request, dataset: str) -> Json:
    """The items of a query with their annotations as one JSON file, which the command names when it is done."""
    found = state.find_items(dataset, request.body["itemsQuery"])
    wanted = request.body.get("annotationsQuery", {}).get("filter", {})
    sheets = [{**i, "annotations": [a for a in state.annotations_of(i["id"]) if matches(a, wanted)]} for i in found]
    home = state.binaries(state.datasets[dataset]["projects"][0])
    output = state.add_item(home["id"], f"/.exports/{state.new_id()}.json", json.dumps(sheets).encode())
    key = state.new_id()
    command: Json = {"id": key, "status": "success", "progress": 100, "type": "ExportDatasetAsJson"}
    command.update(url=f"{state.url}/commands/{key}", spec={"outputItemId": output["id"]})
    return state.commands.setdefault(key, command)


@route("GET", "/commands/{command}", "repositories/commands.py: Commands.get")
def command_by_id(state: State, request: Request, command: str) -> Json:
    return one(state.commands, command)


# Models -------------------------------------------------------------------------------------------------------------


@route("GET", "/ml/models/{model}", "repositories/models.py: Models.get")
def model_by_id(state: State, request: Request, model: str) -> Json:
    return one(state.models, model)


@route("POST", "/ml/models/query", "repositories/models.py: Models._list")
def models(state: State, request: Request) -> Json:
    flat = ({**m, "projectId": m["context"]["project"]} for m in state.models.values())
    return page((m for m in flat if matches(m, request.body["filter"])), request.body)


@route("PATCH", "/ml/models/{model}", "repositories/models.py: Models.update")
def update_model(state: State, request: Request, model: str) -> Json:
    """System metadata changes only where the query says ``system=true``."""
    known = one(state.models, model)
    given = copy.deepcopy(request.body)
    metadata = {**known["metadata"], **given.pop("metadata", {})}
    if request.query.get("system") != "true":
        metadata["system"] = known["metadata"]["system"]
    if given.get("status") != known["status"]:
        state.statuses.append(given.get("status"))
    known.update({key: value for key, value in given.items() if key in known and key not in ("id", "createdAt")})
    known["metadata"] = metadata
    return known


@route("POST", "/ml/models/{model}/clone", "repositories/models.py: Models.clone")
def clone_model(state: State, request: Request, model: str) -> Json:
    source, given = one(state.models, model), copy.deepcopy(request.body)
    project = given.pop("projectId", source["context"]["project"])
    fields = {key: copy.deepcopy(source[key]) for key in ("artifacts", "labels", "inputType", "outputType")}
    new = state.add_model(project, given.pop("name"), given.pop("configuration"), **{**fields, "status": "created"})
    new["metadata"] = {"system": {"subsets": {}}, **given.pop("metadata", {})}
    new.update(given)
    return new


@route("POST", "/ml/metrics/publish", "repositories/models.py: Metrics.create")
def publish_metrics(state: State, request: Request) -> list[Json]:
    state.metrics.extend(request.body)
    return list(request.body)


@route("POST", "/ml/metrics/query", "repositories/models.py: Metrics._list")
def metrics(state: State, request: Request) -> Json:
    return page((m for m in state.metrics if matches(m, request.body["filter"])), request.body)


# Features -----------------------------------------------------------------------------------------------------------


@route("POST", "/features/sets/query", "repositories/feature_sets.py: FeatureSets._list")
def feature_sets(state: State, request: Request) -> Json:
    return page((f for f in state.feature_sets.values() if matches(f, request.body["filter"])), request.body)


@route("POST", "/features/sets", "repositories/feature_sets.py: FeatureSets.create")
def create_feature_set(state: State, request: Request) -> list[Json]:
    key = state.new_id()
    body = {**request.body, "id": key, "creator": USER, "createdAt": WHEN, "url": f"{state.url}/features/sets/{key}"}
    return [state.feature_sets.setdefault(key, body)]


@route("GET", "/features/sets/{feature_set}", "repositories/feature_sets.py: FeatureSets.get")
def feature_set_by_id(state: State, request: Request, feature_set: str) -> Json:
    return one(state.feature_sets, feature_set)


@route("POST", "/features/vectors", "repositories/features.py: Features.create")
def create_vectors(state: State, request: Request) -> list[Json]:
    created = [{**body, "id": state.new_id(), "creator": USER, "createdAt": WHEN} for body in request.body]
    state.vectors.update({vector["id"]: vector for vector in created})
    return created


def token() -> str:
    """A JSON web token that never expires; services/api_client.py (ApiClient.token_expired) reads it unverified."""
    parts = ({"alg": "none", "typ": "JWT"}, {"email": USER, "exp": 4102444800})
    return ".".join([*(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts), "c2ln"])
