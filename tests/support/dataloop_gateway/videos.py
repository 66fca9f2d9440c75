"""A service with short videos of two kinds, labelled by people, for our own adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from tiny_videos import render_video

from dataloop_gateway.query import Json
from dataloop_gateway.server import Gateway
from dataloop_gateway.state import State

# Not in the alphabet's order, so that an order that is lost shows.
LABELS = ("warm", "cold")


@dataclass
class World:
    """A project with a dataset of videos in the folders /train and /validation, two of each kind in each."""

    gateway: Gateway
    dl: Any
    project: str
    dataset: str
    items: dict[str, str]

    @property
    def state(self) -> State:
        return self.gateway.state

    def add_model(self, name: str, configuration: Json, **fields: Any) -> str:
        """A model of this dataset with the subsets train and validation. Returns its id."""
        subsets = {folder: {"filter": {"$and": [{"dir": f"/{folder}"}]}} for folder in ("train", "validation")}
        fields = {"datasetId": self.dataset, "subsets": subsets, "labels": list(LABELS), **fields}
        model: str = self.state.add_model(self.project, name, configuration, **fields)["id"]
        return model

    def get(self, names: Sequence[str]) -> list[Any]:
        """Items by their place in the dataset, fetched by dtlpy."""
        return [self.dl.items.get(item_id=self.items[name]) for name in names]

    def predicted(self, name: str) -> list[Json]:
        """An item's annotations that a model made, by start and then by confidence, best first."""
        found = [a for a in self.state.annotations_of(self.items[name]) if "model" in a["metadata"].get("user", {})]
        return sorted(found, key=lambda a: (a["metadata"]["system"].get("startTime", 0), -confidence(a)))


def confidence(annotation: Json) -> float:
    return float(annotation["metadata"]["user"]["model"]["confidence"])


def times(annotation: Json) -> tuple[float, float]:
    """Seconds from and to, as the platform would show them."""
    system = annotation["metadata"]["system"]
    return system["startTime"], system["endTime"]


def make_world(gateway: Gateway, dl: Any, media: Path, name: str = "clips") -> World:
    """Fill a gateway. media: a folder for the rendered files, which may be there from before."""
    state = gateway.state
    project = state.add_project(name)["id"]
    dataset = state.add_dataset(project, name, LABELS)["id"]
    items = {}
    for number, folder in enumerate(("train", "validation")):
        for seed in range(2):
            for kind in LABELS:
                file = media / f"{kind}{number}{seed}.mp4"
                if not file.is_file():
                    render_video(file, kind, seed=10 * number + seed + 100 * (kind == "cold"))
                place = f"/{folder}/{kind}{seed}.mp4"
                items[place] = state.add_item(dataset, place, file, {"fps": 8})["id"]
                state.add_class(items[place], kind)
    return World(gateway, dl, project, dataset, items)


def render_long(path: Path, kinds: Sequence[str], seconds_each: int = 60, size: int = 32) -> Path:
    """A video of one frame a second part of a minute: red ("warm") or blue ("cold") for ``seconds_each`` at a time."""
    colours = {"warm": (200, 40, 30), "cold": (30, 60, 200)}
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=1, options={"preset": "ultrafast", "g": "30"})
        stream.width, stream.height, stream.pix_fmt = size, size, "yuv420p"
        stream.time_base = Fraction(1, 1)
        for number, kind in enumerate(kinds):
            picture = np.full((size, size, 3), colours[kind], np.uint8)
            for second in range(0, seconds_each, 5):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = number * seconds_each + second, Fraction(1, 1)
                container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def render_scenes(path: Path, kinds: Sequence[str], seconds_each: float = 4.0) -> Path:
    """A video of several scenes as ``tiny_videos`` renders them, one after the other."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=8, options={"crf": "18", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.time_base = Fraction(1, 8)
        for number, kind in enumerate(kinds):
            scene = render_video(path.with_name(f"scene{number}.mp4"), kind, seed=50 + number, seconds=seconds_each)
            with av.open(scene) as source:
                for frame in source.decode(video=0):
                    picture = av.VideoFrame.from_ndarray(frame.to_ndarray(format="rgb24"), format="rgb24")
                    container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path
