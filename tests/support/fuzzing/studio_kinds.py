"""Damaged and hostile videos through the Label Studio host: local files, and uploads of a stand-in Label Studio."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from label_studio_server import LEGACY, LabelStudioServer, label_studio

from fuzzing.case import Kind, Run, UnexpectedAnswerError, random_of
from fuzzing.hostile import COUNT, checked_by, hostile_cases
from fuzzing.media_kinds import mutated_video, render, seeds
from fuzzing.model_kinds import SHARED
from fuzzing.request_kinds import LABEL_CONFIG
from fuzzing.served_host import Client, served

LARGEST_BYTES = 3_000_000  # of a file that is sent as it is


class Studio:
    """A host with a root and a Label Studio, and a sound video beside which each case is sent."""

    def __init__(self, client: Client, root: Path, server: LabelStudioServer) -> None:
        self.client, self.root, self.server = client, root, server
        render(root / "sound.mp4", "mpeg4", {}, {})

    def send(self, name: str, data: bytes, uploaded: bool) -> str:
        """Ask for a prediction of a video and of the sound one, whose answer must not depend on it."""
        video = f"/data/upload/1/{name}" if uploaded else f"/data/local-files/?d={name}"
        self.server.files = {video: data}
        (self.root / name).write_bytes(b"" if uploaded else data)
        tasks = [{"id": number, "data": {"video": each}} for number, each in enumerate((video, "sound.mp4"))]
        body = json.dumps({"tasks": tasks, "label_config": LABEL_CONFIG}).encode()
        status, answer = self.client.answered("POST", "/predict", body, "application/json")
        if status != 200 or len(answer.get("results", ())) != 2:
            raise UnexpectedAnswerError(f"answered with {status}: {str(answer)[:300]}")
        odd, sound = answer["results"]
        if "error" in sound:
            raise UnexpectedAnswerError(f"a sound video failed beside it: {sound['error'][:300]}")
        if "error" not in odd:
            return "read"
        if name not in odd["error"] or str(self.root.parent) in odd["error"]:
            raise UnexpectedAnswerError(f"the error does not name the video as the task does: {odd['error'][:300]}")
        return f"refused: {odd['error'][:160]}"


@contextmanager
def studio(folder: Path, root: Path) -> Iterator[Studio]:
    """The host, until the block ends."""
    from adapters.hosts.label_studio.videos import LabelStudioClient, VideoFetcher
    from adapters.hosts.label_studio_host import LabelStudioBackend

    with label_studio() as server:
        fetcher = VideoFetcher(root, LabelStudioClient(server.url, LEGACY), 4_000_000)
        with served(folder, root, lambda model, host: LabelStudioBackend(model, fetcher).make_app(host)) as client:
            yield Studio(client, root, server)


def shared_files() -> list[Path]:
    """Awkward files beside the checkout, where it is there; they are sent as they are."""
    found = [*(SHARED / "cases" / "media").glob("*.*"), *(SHARED / "media" / "odd").glob("*.*")]
    return sorted(path for path in found if path.suffix != ".py" and path.stat().st_size <= LARGEST_BYTES)


@contextmanager
def video_studio(folder: Path) -> Iterator[Run]:
    root = folder / "root"
    root.mkdir()
    sound, whole = seeds(folder), shared_files()
    with studio(folder, root) as opened:

        def run(seed: int) -> str:
            random = random_of("video_studio", seed)
            path = whole[seed] if seed < len(whole) else mutated_video(random, sound, folder)
            return opened.send(f"case{path.suffix}", path.read_bytes(), uploaded=random.random() < 0.5)

        yield run


@contextmanager
def hostile_studio(folder: Path) -> Iterator[Run]:
    traps, cases = hostile_cases(folder)
    root = folder / "root"
    root.mkdir()
    with studio(folder, root) as opened:

        def run(seed: int) -> str:
            name, data, suffix = cases[seed % len(cases)]
            uploaded = (seed // len(cases) + seed) % 2 == 1
            return checked_by(traps, name, suffix, lambda: opened.send(f"case{suffix}", data, uploaded))

        yield run


KINDS = {"video_studio": Kind(100, video_studio), "hostile_studio": Kind(COUNT, hostile_studio)}
