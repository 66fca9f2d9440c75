"""Hard examples from a device's model to the registry: kept while it predicts, sent once, refused when they lie."""

from __future__ import annotations

import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("alembic", reason="pip install 'cliplab[registry,http]'")
pytest.importorskip("tuf", reason="pip install 'cliplab[registry,http]'")
pytest.importorskip("starlette", reason="pip install 'cliplab[registry,http]'")

from adapters.errors import ConfigError
from adapters.hosts.http_server.errors import RequestError
from adapters.records import Clip, Prediction
from cliplab.rollout.device import HardExamples, UnreachableError
from cliplab.rollout.device.connection import RegistryConnection
from cliplab.rollout.device.examples import examples_of, keep_hard_example, send_examples
from cliplab.rollout.serving.examples import ExampleStore

ALL = HardExamples(sample_rate=1.0)


def clip(seed: int) -> Clip:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (4, 6, 3), dtype=np.uint8)
    frames = np.stack([cv2.resize(small, (96, 64), interpolation=cv2.INTER_CUBIC)] * 3)
    return Clip(frames=frames, times=np.arange(3.0), source="camera", start=float(seed), end=seed + 2.0)


def prediction(score: float) -> Prediction:
    scores = np.array([score, 1 - score], np.float32)
    return Prediction(scores=scores, labels=("ad", "content"), start=0.0, end=2.0)


class Registry:
    """A registry's side, without a network between: what a device sends goes into a store."""

    def __init__(self, folder: Path, **limits: int) -> None:
        self.store, self.away = ExampleStore(folder, **limits), False

    def post(self, path: str, body: bytes, content_type: str) -> None:
        if self.away:
            raise UnreachableError("the registry is away")
        try:
            self.store.put(path.split("/")[1], body)
        except RequestError as error:
            raise UnreachableError(error.message, error.status) from error


def send(models: Path, registry: Registry) -> tuple[int, list[str]]:
    warnings: list[str] = []
    connection: RegistryConnection = registry  # type: ignore[assignment]
    return send_examples(examples_of(models), connection, "kitchen-01", warnings.append), warnings


def test_what_a_model_is_unsure_of_arrives_once_as_a_picture_with_its_scores(tmp_path: Path) -> None:
    queue, registry = examples_of(tmp_path / "models"), Registry(tmp_path / "registry")
    assert keep_hard_example(queue, ALL, "base-ads", "a.tflite", clip(1), prediction(0.55))
    assert not keep_hard_example(queue, ALL, "base-ads", "a.tflite", clip(2), prediction(0.97)), "it is sure"
    assert not keep_hard_example(queue, ALL, "base-ads", "a.tflite", clip(1), prediction(0.5)), "it looks the same"
    registry.away = True
    with pytest.raises(UnreachableError):
        send(tmp_path / "models", registry)
    registry.away = False
    assert send(tmp_path / "models", registry) == (1, [])
    assert send(tmp_path / "models", registry) == (0, [])
    [facts] = (tmp_path / "registry" / "kitchen-01").glob("*.json")
    written = json.loads(facts.read_text())
    assert written["scores"]["ad"] == pytest.approx(0.55, abs=1e-5)
    assert (written["model"], written["device"]) == ("base-ads", "kitchen-01")
    picture = cv2.imread(str(facts.with_suffix(".jpg")))
    np.testing.assert_allclose(picture[..., ::-1], clip(1).frames[1], atol=40)


def test_chance_chooses_the_same_clips_each_time(tmp_path: Path) -> None:
    which = HardExamples(sample_rate=0.3)
    kept = [
        [
            number
            for number in range(40)
            if keep_hard_example(examples_of(tmp_path / name), which, "m", "f", clip(number), prediction(0.5))
        ]
        for name in ("one", "two")
    ]
    assert kept[0] == kept[1]
    assert 3 < len(kept[0]) < 25


@pytest.mark.parametrize("values", [{"min_confidence": 0.7}, {"sample_rate": 1.5}, {"max_bytes": 0}])
def test_limits_that_make_no_sense(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        HardExamples(**values)  # type: ignore[arg-type]


NAME = "00000000000000000001-0123456789abcdef"
JPEG = b"\xff\xd8\xff\xe0" + bytes(20)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json\n" + JPEG,
        b"[]\n" + JPEG,
        b'{"name": "../../x", "suffix": ".jpg"}\n' + JPEG,
        f'{{"name": "{NAME}", "suffix": ".exe"}}\n'.encode() + JPEG,
        f'{{"name": "{NAME}", "suffix": ".jpg"}}\n'.encode() + b"MZ" + bytes(20),
        f'{{"name": "{NAME}", "suffix": ".mp4"}}\n'.encode() + JPEG,
        b'{"name": "' + b"a" * 2_000_000 + b'", "suffix": ".jpg"}\n' + JPEG,
        b"[" * 100_000 + b"\n" + JPEG,
    ],
)
def test_what_is_not_an_example_is_refused_and_leaves_nothing(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(RequestError) as refused:
        ExampleStore(tmp_path / "examples").put("kitchen-01", body)
    assert refused.value.status == 400
    assert not (tmp_path / "examples").exists()


def test_an_example_is_kept_once_and_the_folder_is_bounded(tmp_path: Path) -> None:
    body = json.dumps({"name": NAME, "suffix": ".jpg", "model": "m"}).encode() + b"\n" + JPEG
    store = ExampleStore(tmp_path, max_bytes=len(body) + 50)
    assert store.put("kitchen-01", body) == (NAME, True)
    assert store.put("kitchen-01", body) == (NAME, False)
    with pytest.raises(RequestError) as refused:
        store.put("kitchen-01", body.replace(b"0001-", b"0002-"))
    assert refused.value.status == 507


def test_one_device_leaves_room_for_others_and_what_was_moved_away_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = json.dumps({"name": NAME, "suffix": ".jpg", "model": "m"}).encode() + b"\n" + JPEG
    store = ExampleStore(tmp_path, max_bytes=10 * len(body), device_bytes=2 * len(body))

    def put(device: str, number: int) -> int:
        try:
            store.put(device, body.replace(b"0001-", f"{number:04d}-".encode()))
        except RequestError as error:
            return error.status
        return 200

    assert [put("greedy", number) for number in range(1, 5)] == [200, 200, 507, 507]
    assert put("kitchen-01", 1) == 200
    for path in (tmp_path / "greedy").iterdir():
        path.unlink()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 61)
    assert put("greedy", 5) == 200


def test_a_refused_example_is_given_up_and_the_others_go_on(tmp_path: Path) -> None:
    queue, registry = examples_of(tmp_path / "models"), Registry(tmp_path / "registry")
    queue.put(b"not a picture", ".jpg", {})
    assert keep_hard_example(queue, ALL, "m", "f", clip(1), prediction(0.5))
    sent, warnings = send(tmp_path / "models", registry)
    assert (sent, len(warnings), len(queue)) == (1, 1, 0)
