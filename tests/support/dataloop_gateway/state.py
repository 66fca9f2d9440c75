"""What the imitated service knows: JSON objects by id, the bytes of items, and what it was asked for."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataloop_gateway.query import Json, matches

USER = "tester@example.com"
WHEN = "2024-01-01T00:00:00.000Z"


@dataclass
class Request:
    """One request as it came. body: the JSON, the fields of a form, or None. started, ended: perf_counter seconds."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]
    started: float
    ended: float = 0.0


@dataclass
class State:
    """Everything by id. Objects have the fields that dtlpy's ``from_json`` of that entity reads."""

    url: str = ""
    projects: dict[str, Json] = field(default_factory=dict)
    datasets: dict[str, Json] = field(default_factory=dict)
    recipes: dict[str, Json] = field(default_factory=dict)
    ontologies: dict[str, Json] = field(default_factory=dict)
    items: dict[str, Json] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    annotations: dict[str, Json] = field(default_factory=dict)
    models: dict[str, Json] = field(default_factory=dict)
    commands: dict[str, Json] = field(default_factory=dict)
    feature_sets: dict[str, Json] = field(default_factory=dict)
    vectors: dict[str, Json] = field(default_factory=dict)
    metrics: list[Json] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    _last_id: int = 0

    def new_id(self) -> str:
        """24 hexadecimal digits, rising: entities/filters.py (Filters._get_middle_id) counts with them."""
        self._last_id += 1
        return f"{self._last_id:024x}"

    # Seeding ------------------------------------------------------------------------------------------------------

    def add_project(self, name: str = "project") -> Json:
        """A project with its hidden dataset of binaries, where artifacts go (repositories/artifacts.py)."""
        key = self.new_id()
        self.projects[key] = {"id": key, "name": name, "creator": USER, "createdAt": WHEN, "featureConstraints": []}
        self.add_dataset(key, "Binaries", ())
        return self.projects[key]

    def add_dataset(self, project: str, name: str, labels: Sequence[str]) -> Json:
        """A dataset with a recipe and an ontology of these labels."""
        ontology, recipe, dataset = self.new_id(), self.new_id(), self.new_id()
        roots = [{"value": {"tag": tag, "color": "#ff0000", "attributes": []}, "children": []} for tag in labels]
        self.ontologies[ontology] = {"id": ontology, "roots": roots, "metadata": {"system": {"projectIds": [project]}}}
        self.recipes[recipe] = {"id": recipe, "title": name, "ontologyIds": [ontology], "projectIds": [project]}
        self.datasets[dataset] = {
            "id": dataset,
            "name": name,
            "projects": [project],
            "creator": USER,
            "createdAt": WHEN,
            "annotated": 0,
            "itemsCount": 0,
            "metadata": {"system": {"recipes": [recipe]}},
            "url": f"{self.url}/datasets/{dataset}",
            "system": name == "Binaries",
        }
        return self.datasets[dataset]

    def add_item(
        self, dataset: str, file: str, content: bytes | Path, metadata: Json | None = None, mimetype: str | None = None
    ) -> Json:
        """A file of a dataset. file: its place in it, with a leading slash. One at this place is replaced."""
        data = content.read_bytes() if isinstance(content, Path) else content
        same = [item for item in self.items.values() if item["datasetId"] == dataset and item["filename"] == file]
        item_id = same[0]["id"] if same else self.new_id()
        folder, _, name = file.rpartition("/")
        kind = mimetype or mimetypes.guess_type(name)[0] or "application/octet-stream"
        merged = dict(metadata or {})
        merged["system"] = {"size": len(data), "mimetype": kind, "originalname": name, **merged.get("system", {})}
        self.files[item_id] = data
        self.items[item_id] = {
            "id": item_id,
            "datasetId": dataset,
            "projectId": self.datasets[dataset]["projects"][0],
            "dataset": f"{self.url}/datasets/{dataset}",
            "url": f"{self.url}/items/{item_id}",
            "stream": f"{self.url}/items/{item_id}/stream",
            "name": name,
            "filename": file,
            "dir": folder or "/",
            "type": "file",
            "hidden": any(part.startswith(".") for part in file.split("/")),
            "annotated": False,
            "annotationsCount": 0,
            "creator": USER,
            "createdAt": WHEN,
            "updatedAt": WHEN,
            "metadata": merged,
        }
        return self.items[item_id]

    def add_annotation(self, item: str, body: Json) -> Json:
        """What an upload of one annotation leaves behind."""
        annotation = {**body, "id": self.new_id(), "itemId": item, "datasetId": self.items[item]["datasetId"]}
        annotation.update(creator=USER, createdAt=WHEN, updatedBy=USER, updatedAt=WHEN)
        annotation.setdefault("metadata", {}).setdefault("system", {})
        self.annotations[annotation["id"]] = annotation
        self._count(item)
        return annotation

    def add_class(self, item: str, label: str, start: float | None = None, end: float | None = None) -> Json:
        """A person's label of a whole item or of a stretch of a video, in seconds."""
        system = {} if start is None else {"startTime": start, "endTime": end, "frame": 0, "endFrame": 1}
        return self.add_annotation(
            item, {"type": "class", "label": label, "attributes": [], "metadata": {"system": system}}
        )

    def add_model(self, project: str, name: str, configuration: Json, **fields: Any) -> Json:
        """A model. fields: more of its JSON, such as datasetId, labels, status, inputType, subsets by filter."""
        model_id = self.new_id()
        subsets = fields.pop("subsets", {})
        self.models[model_id] = {
            "id": model_id,
            "name": name,
            "context": {"project": project, "creator": USER},
            "configuration": configuration,
            "metadata": {"system": {"subsets": subsets}},
            "status": "pre-trained",
            "inputType": "video",
            "outputType": "class",
            "artifacts": [],
            "labels": [],
            "scope": "project",
            "version": "1.0.0",
            "url": f"{self.url}/ml/models/{model_id}",
            "createdAt": WHEN,
            "updatedAt": WHEN,
            **fields,
        }
        return self.models[model_id]

    # What came of it ----------------------------------------------------------------------------------------------

    def annotations_of(self, item: str) -> list[Json]:
        return [entry for entry in self.annotations.values() if entry["itemId"] == item]

    def items_of(self, dataset: str) -> list[Json]:
        return [entry for entry in self.items.values() if entry["datasetId"] == dataset]

    def binaries(self, project: str) -> Json:
        return next(d for d in self.datasets.values() if d["name"] == "Binaries" and project in d["projects"])

    def asked(self, method: str, ending: str) -> list[Request]:
        """Requests of a method whose path ends so, in order."""
        return [request for request in self.requests if request.method == method and request.path.endswith(ending)]

    # What routes need ---------------------------------------------------------------------------------------------

    def find_items(self, dataset: str, body: Json) -> list[Json]:
        """Items of a query; ``join`` asks for a fitting annotation (repositories/downloader.py, _prepare_filters)."""
        found = [item for item in self.items_of(dataset) if matches(item, body.get("filter", {}))]
        join = (body.get("join") or {}).get("filter")
        return [i for i in found if not join or any(matches(a, join) for a in self.annotations_of(i["id"]))]

    def find_annotations(self, dataset: str, query: Json) -> list[Json]:
        return [a for a in self.annotations.values() if a["datasetId"] == dataset and matches(a, query)]

    def delete(self, entries: Iterable[Json], kind: Callable[[State], dict[str, Json]]) -> int:
        gone = [kind(self).pop(entry["id"]) for entry in list(entries)]
        for entry in gone:
            if "itemId" in entry:
                self._count(entry["itemId"])
        return len(gone)

    def _count(self, item: str) -> None:
        count = len(self.annotations_of(item))
        self.items[item].update(annotationsCount=count, annotated=count > 0)
