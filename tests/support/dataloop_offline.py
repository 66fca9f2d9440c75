"""dtlpy without a service: entities from JSON, and items that are links to files, which dtlpy itself reads."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

# Read when dtlpy is imported: where it keeps its cookies and logs, else in the home folder.
os.environ.setdefault("DATALOOP_PATH", tempfile.mkdtemp(prefix="dataloop_"))

import dtlpy as dl

from adapters.hosts.dataloop.config import PLATFORM_DEFAULTS

TINY = {"schema_version": 2, "adapter": "tiny_adapter:TinyAdapter"}


def model(labels: tuple[str, ...] = ("cold", "warm"), **configuration: Any) -> dl.Model:
    """A pre-trained model without artifacts; of the tiny adapter unless the configuration names another."""
    fields = {
        "id": "model-1",
        "name": "a model",
        "configuration": {**TINY, **PLATFORM_DEFAULTS, **configuration},
        "labels": list(labels),
        "status": "pre-trained",
        "inputType": "video",
        "outputType": "class",
        "metadata": {"system": {}},
        "context": {},
    }
    return dl.Model.from_json(fields, client_api=dl.client_api)


def item(path: Path, mimetype: str = "video/mp4", item_id: str | None = None, **metadata: Any) -> dl.Item:
    """An item that links to a local file."""
    link = {"dltype": "link", "linkInfo": {"type": "url", "ref": f"file://{path}"}}
    size = path.stat().st_size if path.is_file() else 0
    fields = {
        "id": item_id or path.stem,
        "name": path.name,
        "filename": f"/videos/{path.name}",
        "type": "file",
        "datasetId": "dataset-1",
        "dataset": "https://example.com/datasets/dataset-1",
        "metadata": {"system": {"mimetype": mimetype, "size": size, "shebang": link}, **metadata},
    }
    return dl.Item.from_json(fields, client_api=dl.client_api)
