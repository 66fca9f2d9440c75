"""ResNet18: torchvision's function, its weights by URL, path and cache, state dicts both ways, whole videos."""

from __future__ import annotations

import hashlib
import io
import pickletools
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch_resnet
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from loopback import serving
from tiny_videos import render_dataset, render_video

from adapters.errors import ConfigError, WeightsError
from adapters.inference import open_model, predict_videos
from adapters.media import decode_size, open_video
from adapters.media.preprocess import fit_frames
from adapters.models.resnet18 import network as resnet18_network
from adapters.models.resnet18.network import variables_to_torch
from adapters.models.weights import published as published_weights
from adapters.models.weights import write_state_dict
from adapters.models.weights.torch_pickle import read_state_dict
from adapters.models.weights.torch_writer import state_dict_bytes
from adapters.records import Clip, InputSpec

pytest.importorskip("tf_keras", reason="pip install 'cliplab[train]'")

SIZE = 64
CLASSES = [f"class {number}" for number in range(10)]
# What torch/_weights_only_unpickler.py carries out, of what a dict of tensors may use.
ALLOWED_OPCODES = {
    *("PROTO", "STOP", "GLOBAL", "REDUCE", "MARK", "TUPLE", "EMPTY_TUPLE", "BINPERSID", "SETITEMS", "NEWFALSE"),
    *("BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1"),
}


@pytest.fixture(scope="module", autouse=True)
def cache(own_cache: Path) -> Path:
    return own_cache


@pytest.fixture(scope="module")
def state() -> dict[str, np.ndarray]:
    return torch_resnet.random_state(seed=1)


@pytest.fixture(scope="module")
def pth(state: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("torch") / "model.pth"
    write_state_dict(path, state)
    return path


def model(pth: Path | str, **changes: Any) -> Any:
    return open_model("resnet18", {"weights": str(pth), "imgz": SIZE, "n_frames": 4, "labels": CLASSES, **changes})


def pictures(count: int, height: int = SIZE, width: int = SIZE, seed: int = 0) -> np.ndarray:
    """Smooth noise, like nothing but with values everywhere."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 9, 9, 3), dtype=np.uint8)
    return np.stack([cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC) for picture in coarse])


def clip(frames: np.ndarray) -> Clip:
    return Clip(frames, np.arange(len(frames), dtype=np.float64), "test", 0.0, float(len(frames)))


def softmax(logits: np.ndarray) -> np.ndarray:
    exp = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exp / exp.sum(axis=-1, keepdims=True)


# The network ----------------------------------------------------------------------------------------------------------


def torch_to_variables(state: Any) -> dict[str, np.ndarray]:
    """Backbone and classifier together."""
    found = resnet18_network.torch_to_variables(state)
    return {**found.backbone, **found.classifier}


@pytest.mark.parametrize("height, width, seed", [(64, 64, 1), (97, 50, 2)])
def test_logits_are_those_of_the_published_algorithm(height: int, width: int, seed: int) -> None:
    """At odd sizes too, where TensorFlow's own padding would shift the picture; the project promises 1e-4."""
    from adapters.models.resnet18.network import build_backbone
    from adapters.training import assign

    own_state = torch_resnet.random_state(seed)
    variables = torch_to_variables(own_state)
    network = build_backbone(height, width)
    assign(network, {name: value for name, value in variables.items() if not name.startswith("scores_")})
    frames = pictures(2, height, width, seed)
    inputs = ((frames / 255 - torch_resnet.MEAN) / torch_resnet.STD).astype(np.float32)
    features = network(inputs, training=False).numpy()
    found = features @ variables["scores_output/kernel"] + variables["scores_output/bias"]
    expected = torch_resnet.logits(frames, own_state)
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_prediction_is_torchvisions(pth: Path, state: dict[str, np.ndarray]) -> None:
    """Through preprocessing, LiteRT and softmax: the mean over frames of what PyTorch would say."""
    frames = pictures(4)
    prediction = model(pth, crop_fraction=1.0).predict([clip(frames)])[0]
    expected = softmax(torch_resnet.logits(frames, state))
    np.testing.assert_allclose(prediction.frame_scores, expected, atol=1e-4)
    np.testing.assert_allclose(prediction.scores, expected.mean(axis=0), atol=1e-4)
    assert prediction.labels == tuple(CLASSES)


def test_resize_256_crop_224_is_in_the_preprocessing() -> None:
    spec = open_model("resnet18", {"weights": "random"}).input_spec
    assert decode_size(spec, 1280, 720) == (455, 256)
    assert decode_size(spec, 480, 640) == (256, 341)
    assert decode_size(replace(spec, crop_fraction=1.0), 1280, 720) == (398, 224)
    frames = pictures(1, 256, 455)
    cropped = fit_frames(frames, spec)
    np.testing.assert_array_equal(cropped, frames[:, 16:240, 116:340])


@settings(deadline=None)
@given(st.integers(32, 300), st.integers(20, 2000), st.integers(20, 2000), st.sampled_from([0.5, 0.8, 0.875, 1.0]))
def test_frames_of_the_decoded_size_are_only_cropped(size: int, width: int, height: int, fraction: float) -> None:
    spec = InputSpec(size, size, 1, crop_fraction=fraction)
    decoded = decode_size(spec, width, height)
    assert decode_size(spec, *decoded) == decoded
    assert min(decoded) >= size


# Every frame of a video -----------------------------------------------------------------------------------------------


def test_a_video_gets_the_mean_of_its_frames_at_one_a_second(pth: Path, tmp_path: Path) -> None:
    video = render_video(tmp_path / "long.mp4", "warm", 0, seconds=10.5)
    adapter = model(pth)
    result = next(iter(predict_videos(adapter, [video])))
    assert len(result.predictions) == 1
    whole = result.predictions[0]
    assert (whole.start, whole.end) == (0.0, pytest.approx(10.5))
    with open_video(video) as opened:
        spec = adapter.input_spec
        shown = list(opened.frames(height=73, width=73, fps=1))
        frames = np.stack([frame for _, frame in shown])
        pieces = list(opened.clips(spec))
    assert [seconds for seconds, _ in shown] == list(range(11))
    assert [len(piece.frames) for piece in pieces] == [4, 4, 3]
    np.testing.assert_array_equal(np.concatenate([piece.frames for piece in pieces]), frames)
    np.testing.assert_allclose(whole.frame_scores, adapter.predict([clip(frames)])[0].frame_scores, atol=1e-6)
    np.testing.assert_allclose(whole.scores, whole.frame_scores.mean(axis=0), atol=1e-6)


def test_windows_of_every_frame_are_answers_of_their_own(pth: Path, tmp_path: Path) -> None:
    video = render_video(tmp_path / "long.mp4", "cold", 0, seconds=9)
    result = next(iter(predict_videos(model(pth), [video], window_seconds=6.0, stride_seconds=3.0)))
    assert [(item.start, item.end) for item in result.predictions] == [(0.0, 6.0), (3.0, 9.0)]
    assert [len(item.frame_scores) for item in result.predictions] == [6, 6]
    short = render_video(tmp_path / "short.mp4", "cold", 0, seconds=0.5)
    result = next(iter(predict_videos(model(pth), [short])))
    assert [len(item.frame_scores) for item in result.predictions] == [1]


def test_every_frame_needs_a_rate() -> None:
    with pytest.raises(ConfigError, match='"fps" is required with sampling "every"'):
        open_model("resnet18", {"fps": None})


# State dicts ----------------------------------------------------------------------------------------------------------


def test_a_trained_model_goes_to_pytorch_and_back(tmp_path: Path) -> None:
    data = render_dataset(tmp_path / "data", train=3, validation=1)
    own = {"imgz": 32, "n_frames": 2, "num_epochs": 3, "augment_views": 0, "weights": "random", "fps": 2}
    own |= {"labels": ["cold", "warm"], "positive_label": "warm"}
    adapter: Any = open_model("drone_resnet18", own)
    adapter.train(data, tmp_path / "bundle")
    path = tmp_path / "model.pth"
    adapter.save(path)
    loaded: Any = open_model("drone_resnet18", own)
    loaded.load(path)
    loaded.save(tmp_path / "again")
    batch = [clip(pictures(2, 32, 32, seed)) for seed in range(3)]
    expected = np.stack([item.scores for item in adapter.predict(batch)])
    for other in (loaded, open_model(tmp_path / "again")):
        np.testing.assert_allclose(np.stack([item.scores for item in other.predict(batch)]), expected, atol=1e-6)


def test_two_softmax_outputs_are_one_sigmoid(tmp_path: Path) -> None:
    """PyTorch's two-class models have two outputs; "positive_label" has one, and says the same."""
    path, state = tmp_path / "two.pth", torch_resnet.random_state(3, classes=2)
    write_state_dict(path, state)
    frames = pictures(3)
    expected = softmax(torch_resnet.logits(frames, state))
    adapter = model(path, labels=["highlight", "normal"], positive_label="normal", crop_fraction=1.0)
    np.testing.assert_allclose(adapter.predict([clip(frames)])[0].frame_scores, expected, atol=1e-4)
    other = model(path, labels=["highlight", "normal"], positive_label="highlight")
    for kind, values in other.pretrained().classifier.items():
        np.testing.assert_array_equal(values, -adapter.pretrained().classifier[kind])


def test_names_of_data_parallel_and_of_a_sequential_head(state: dict[str, np.ndarray]) -> None:
    expected = torch_to_variables(state)
    renamed = {f"module.{name}".replace("fc.", "fc.1."): tensor for name, tensor in state.items()}
    found = torch_to_variables(renamed)
    assert list(found) == list(expected)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_what_is_written_is_what_torchvision_saves(state: dict[str, np.ndarray]) -> None:
    back = variables_to_torch(torch_to_variables(state))
    assert list(back) == list(state)
    for name, tensor in state.items():
        assert (back[name].dtype, back[name].shape) == (tensor.dtype, tensor.shape)
        if not name.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(back[name], tensor)
    assert len(back) == 122  # torchvision's resnet18().state_dict()


def test_a_head_with_other_layers_stays_here(tmp_path: Path) -> None:
    adapter = model("random", head=[{"units": 8, "activation": "relu"}])
    with pytest.raises(WeightsError, match=r"'scores_dense0/bias' is not part of.*\"head\": \[\]"):
        adapter.save(tmp_path / "x.pth")
    assert not (tmp_path / "x.pth").exists()


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda s: s | {"layer5.0.conv1.weight": s["conv1.weight"]}, "'layer5.0.conv1.weight' is not part"),
        (lambda s: {k: v for k, v in s.items() if k != "layer2.0.bn1.weight"}, "'layer2.0.bn1.weight' .* is missing"),
        (lambda s: s | {"conv1.weight": s["conv1.weight"][0]}, r"'conv1.weight' is \[3, 7, 7\]; it must have 4"),
        (lambda s: s | {"bn1.bias": np.zeros(63, np.float32)}, "'bn1/beta' is "),
    ],
)
def test_a_foreign_state_dict_is_named(state: dict[str, np.ndarray], tmp_path: Path, change: Any, message: str) -> None:
    write_state_dict(tmp_path / "x.pth", change(dict(state)))
    with pytest.raises(WeightsError, match=message):
        model(tmp_path / "x.pth").predict([clip(pictures(1))])


def test_a_classifier_of_other_classes_is_refused_or_trained_anew(pth: Path, tmp_path: Path) -> None:
    adapter = model("random", labels=["a", "b"])
    with pytest.raises(WeightsError, match=r"scores_output/kernel \[512, 10\].*it does not fit 2 labels"):
        adapter.load(pth)
    with pytest.raises(Exception, match="is not trained: the classifier of the weights has 10 outputs"):
        model(pth, labels=["a", "b"]).predict([clip(pictures(1))])
    (tmp_path / "weights.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(WeightsError, match=r"Keras.*\.pth .*or \.safetensors"):
        model(tmp_path / "weights.h5").predict([clip(pictures(1))])


# The writer -----------------------------------------------------------------------------------------------------------

DTYPES = ["<f4", "<f8", "<f2", "<i8", "<i4", "<i2", "|i1", "|u1", "|b1"]


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.text("abc.é", min_size=1, max_size=8),
        st.sampled_from(DTYPES).flatmap(
            lambda dtype: hnp.arrays(np.dtype(dtype), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
        ),
        min_size=1,
        max_size=4,
    )
)
def test_what_is_written_is_read_back_bit_for_bit(arrays: dict[str, np.ndarray]) -> None:
    data = state_dict_bytes({name: np.array(array, order="F") for name, array in arrays.items()})
    found = read_state_dict(data)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == np.ascontiguousarray(array).tobytes()


def test_the_file_is_one_that_pytorch_loads_with_weights_only(pth: Path) -> None:
    """PyTorch is not at hand, so what its reader asks of a file: instructions, names, entries, alignment."""
    with zipfile.ZipFile(pth) as archive:
        entries = archive.infolist()
        assert {info.filename.split("/")[0] for info in entries} == {"archive"}
        assert all(info.compress_type == zipfile.ZIP_STORED for info in entries)
        assert archive.read("archive/version") == b"3\n"
        assert archive.read("archive/byteorder") == b"little"
        pickle = archive.read("archive/data.pkl")
        sizes = [info.file_size for info in entries if info.filename.startswith("archive/data/")]
    steps = [(opcode.name, argument) for opcode, argument, _ in pickletools.genops(pickle)]
    assert {name for name, _ in steps} <= ALLOWED_OPCODES
    assert {argument for name, argument in steps if name == "GLOBAL"} == {
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        "torch FloatStorage",
        "torch LongStorage",
    }
    assert steps[0] == ("PROTO", 2)
    assert len(sizes) == 122
    data = pth.read_bytes()
    for info in entries:
        lengths = struct.unpack_from("<2H", data, info.header_offset + 26)  # of the name and the extra field
        assert (info.header_offset + 30 + sum(lengths)) % 64 == 0
    pickletools.dis(pickle, out=io.StringIO())  # checks the stack and the memo


def test_what_no_state_dict_can_hold_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"'w' is complex64 \[2\].*Allowed: float16"):
        write_state_dict(tmp_path / "x.pth", {"w": np.zeros(2, np.complex64)})
    with pytest.raises(WeightsError, match="no arrays"):
        write_state_dict(tmp_path / "x.pth", {})
    assert not list(tmp_path.iterdir())


# Published weights ----------------------------------------------------------------------------------------------------


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is served as the mirror of published weights, an empty cache, and no other tool's."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(_Quiet, directory=str(folder))
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with serving(handler) as server:
        monkeypatch.setenv("CLIPLAB_WEIGHTS_URL", server.url)
        yield folder


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


def publish(monkeypatch: pytest.MonkeyPatch, data: bytes) -> str:
    """The file that is known as ResNet18's for this test, as if torchvision had published it. Returns its name."""
    digest = hashlib.sha256(data).hexdigest()
    entry = replace(published_weights.PUBLISHED["resnet18"], digest=digest)
    monkeypatch.setitem(published_weights.PUBLISHED, "resnet18", entry)
    return entry.file


def test_imagenet_weights_are_fetched_once_verified_and_kept(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = torch_resnet.random_state(4, classes=1000)
    name = publish(monkeypatch, state_dict_bytes(state))
    (mirror / name).write_bytes(state_dict_bytes(state))
    found: Any = open_model("resnet18")
    expected = torch_to_variables(state)
    assert {**found.pretrained().backbone, **found.pretrained().classifier}.keys() == expected.keys()
    np.testing.assert_array_equal(found.pretrained().backbone["conv1/kernel"], expected["conv1/kernel"])
    (mirror / name).unlink()
    kept = published_weights.find_published_weights("resnet18")
    assert kept.parent.name == "weights"
    kept.write_bytes(b"damaged")
    with pytest.raises(WeightsError, match=r"its SHA-256 is .* is expected"):
        published_weights.find_published_weights("resnet18")


def test_a_download_of_other_content_is_refused_and_not_kept(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published, other = (state_dict_bytes(torch_resnet.random_state(seed, classes=1000)) for seed in (7, 8))
    name = publish(monkeypatch, published)
    (mirror / name).write_bytes(other)
    with pytest.raises(WeightsError, match=r"its SHA-256 is .* is expected"):
        published_weights.find_published_weights("resnet18")
    (mirror / name).write_bytes(published)
    assert published_weights.find_published_weights("resnet18").read_bytes() == published


def test_weights_of_pytorchs_own_cache_are_used(mirror: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = publish(monkeypatch, b"weights")
    theirs = tmp_path / "torch" / "hub" / "checkpoints" / name
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"weights")
    assert published_weights.find_published_weights("resnet18") == theirs


def test_without_network_it_says_what_was_tried_and_how_to_start_from_scratch(
    mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = [clip(pictures(1))]
    with pytest.raises(WeightsError, match=r"(?s)Tried:.*No such file.*answered 404.*\"weights\" to \"random\""):
        open_model("resnet18").predict(batch)
    (mirror / "resnet18-f37072fd.pth").write_bytes(b"a captive portal's page")
    with pytest.raises(WeightsError, match=r"f37072fd.* is expected"):
        open_model("resnet18").predict(batch)
    monkeypatch.setenv("CLIPLAB_WEIGHTS_URL", "http://127.0.0.1:1")
    with pytest.raises(WeightsError, match="could not be reached"):
        open_model("resnet18").predict(batch)
    from_scratch: Any = open_model("resnet18", {"weights": "random", "imgz": SIZE})
    assert from_scratch.variables()["conv1/kernel"].std() > 0
