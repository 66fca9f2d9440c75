"""The folder of an image and a text network: its files, and how pictures are prepared, value by value."""

import json
from pathlib import Path
from typing import Any

import pytest

from adapters.errors import ConfigError
from adapters.models.prompt_pair.files import Preparation, find_pair, read_preparation
from adapters.models.prompt_pair.onnx_parts import unsound_onnx


def _folder(place: Path, *names: str) -> Path:
    for name in names:
        (place / name).touch()
    return place


@pytest.mark.parametrize(
    ("names", "image", "text", "tokenizer"),
    [
        (("image.onnx", "text.onnx", "tokenizer.json"), "image.onnx", "text.onnx", ("tokenizer.json",)),
        (("image.tflite", "text.onnx", "tokenizer.json"), "image.tflite", "text.onnx", ("tokenizer.json",)),
        (
            ("image.onnx", "text.tflite", "vocab.json", "merges.txt"),
            "image.onnx",
            "text.tflite",
            ("vocab.json", "merges.txt"),
        ),
        (
            ("image.onnx", "text.onnx", "tokenizer.json", "vocab.json", "merges.txt"),
            "image.onnx",
            "text.onnx",
            ("tokenizer.json",),
        ),
    ],
)
def test_the_files_of_a_pair(
    tmp_path: Path, names: tuple[str, ...], image: str, text: str, tokenizer: tuple[str, ...]
) -> None:
    found = find_pair(_folder(tmp_path, *names))
    assert (found.folder, found.image, found.text) == (tmp_path, tmp_path / image, tmp_path / text)
    assert found.tokenizer == tuple(tmp_path / name for name in tokenizer)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("text.onnx", "tokenizer.json"), "has no image.onnx or image.tflite"),
        (("image.onnx", "tokenizer.json"), "has no text.onnx or text.tflite"),
        (("image.onnx", "image.tflite", "text.onnx"), "has both image.onnx or image.tflite. Remove one"),
        (("image.onnx", "text.onnx"), "(tokenizer.json and vocab.json and merges.txt missing)"),
        (("image.onnx", "text.onnx", "vocab.json"), "(tokenizer.json and merges.txt missing)"),
        (("image.onnx", "text.onnx", "merges.txt"), "(tokenizer.json and vocab.json missing)"),
        (("vision_model.onnx", "text.onnx"), "Rename vision_model.onnx to image.onnx"),
        (("Visual.tflite", "text.onnx"), "Rename Visual.tflite to image.tflite"),
        (("image_encoder.onnx",), "Rename image_encoder.onnx to image.onnx"),
        (("clip_image.onnx",), "Rename clip_image.onnx to image.onnx"),
        (("image.onnx", "text_model.onnx"), "Rename text_model.onnx to text.onnx"),
        (("image.onnx", "textual.onnx"), "Rename textual.onnx to text.onnx"),
        (("image.onnx", "text_encoder.onnx"), "Rename text_encoder.onnx to text.onnx"),
        (("image.onnx", "clip_text.tflite"), "Rename clip_text.tflite to text.tflite"),
        (("model.safetensors",), "model.safetensors is not supported. Export both networks"),
        (("pytorch_model.bin",), "pytorch_model.bin is not supported"),
        (("a.pt",), "a.pt is not supported"),
        (("a.pth",), "a.pth is not supported"),
        (("tf_model.h5",), "tf_model.h5 is not supported"),
        (("saved_model.pb",), "saved_model.pb is not supported"),
        (("flax_model.msgpack",), "flax_model.msgpack is not supported"),
    ],
)
def test_what_a_folder_lacks_is_said(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_pair(_folder(tmp_path, *names))
    assert message in str(caught.value)


@pytest.mark.parametrize("names", [("text_model.onnx", "text.onnx"), ("vision_model.md",), ("notes.txt",)])
def test_names_that_are_no_image_network_are_no_hint(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"has no image.onnx or image.tflite\. A pair's folder holds"):
        find_pair(_folder(tmp_path, *names))


def test_places_that_are_no_folder(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(ConfigError, match="f: is a file; prompts need a folder with"):
        find_pair(tmp_path / "f")
    with pytest.raises(ConfigError, match="g: there is no such folder"):
        find_pair(tmp_path / "g")


# How pictures are prepared --------------------------------------------------------------------------------------------


def _prepared(place: Path, values: Any) -> Preparation:
    (place / "preprocessor_config.json").write_text(values if isinstance(values, str) else json.dumps(values))
    return read_preparation(place)


def test_without_a_file_pictures_are_prepared_as_for_clip(tmp_path: Path) -> None:
    found = read_preparation(tmp_path)
    assert (found.size, found.aspect, found.crop_fraction) == (None, "crop", 1.0)
    assert found.mean == pytest.approx([122.7709383, 116.7460125, 104.0937362])
    assert found.scale == pytest.approx([68.5005327, 66.6321579, 70.3231630])
    assert _prepared(tmp_path, {}) == found


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"size": 224}, {"size": (224, 224), "aspect": "crop", "crop_fraction": 1.0}),
        ({"size": {"shortest_edge": 256}}, {"size": (256, 256)}),
        ({"size": {"height": 240, "width": 320}}, {"size": (240, 320)}),
        ({"size": {"shortest_edge": 256}, "crop_size": 224}, {"size": (224, 224), "crop_fraction": 0.875}),
        ({"size": 256, "crop_size": {"height": 128, "width": 192}}, {"size": (128, 192), "crop_fraction": 0.5}),
        ({"size": 200, "crop_size": 224}, {"size": (224, 224), "crop_fraction": 1.0}),
        ({"size": 224, "crop_size": 224}, {"size": (224, 224), "crop_fraction": 1.0}),
        ({"crop_size": 224}, {"size": (224, 224), "crop_fraction": 1.0}),
        ({"size": 4000, "crop_size": 40}, {"size": (40, 40), "crop_fraction": 0.1}),
        ({"size": 256, "crop_size": 224, "do_center_crop": False}, {"size": (256, 256), "aspect": "stretch"}),
        ({"size": 256, "crop_size": 224, "do_center_crop": None}, {"size": (224, 224), "aspect": "crop"}),
        ({"size": 1}, {"size": (1, 1)}),
        ({"size": 4096}, {"size": (4096, 4096)}),
        ({"image_mean": [0.5, 0, 1]}, {"mean": (127.5, 0.0, 255.0)}),
        ({"image_std": [0.5, 1, 2]}, {"scale": (127.5, 255.0, 510.0)}),
        ({"do_normalize": False}, {"mean": (0.0, 0.0, 0.0), "scale": (255.0, 255.0, 255.0)}),
        ({"image_mean": [1, 2, 3], "do_rescale": False}, {"mean": (1.0, 2.0, 3.0)}),
        ({"image_mean": [1, 2, 3], "rescale_factor": 0.5}, {"mean": (2.0, 4.0, 6.0)}),
        ({"image_std": [1, 2, 3], "rescale_factor": 0.25}, {"scale": (4.0, 8.0, 12.0)}),
    ],
)
def test_each_value_of_the_file(tmp_path: Path, values: dict[str, Any], expected: dict[str, Any]) -> None:
    found = _prepared(tmp_path, values)
    assert {key: getattr(found, key) for key in expected} == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("[", "is not JSON"),
        ([1], "is not a JSON object"),
        ({"size": 0}, '"size" must be pixels from 1 to 4096, got 0'),
        ({"size": 4097}, '"size" must be pixels'),
        ({"size": True}, '"size" must be pixels'),
        ({"size": 2.5}, '"size" must be pixels'),
        ({"size": {"height": 5}}, '"size" must be pixels'),
        ({"crop_size": "224"}, "\"crop_size\" must be pixels from 1 to 4096, got '224'"),
        ({"image_mean": [1, 2]}, '"image_mean" must be three numbers, of R, G and B, got [1, 2]'),
        ({"image_mean": 0.5}, '"image_mean" must be three numbers'),
        ({"image_mean": [1, 2, True]}, '"image_mean" must be three numbers'),
        ({"image_mean": [1, 2, "3"]}, '"image_mean" must be three numbers'),
        ({"image_std": [1, 2, 0]}, '"image_std" must be three numbers'),
        ({"image_std": [1, -2, 1]}, '"image_std" must be three numbers'),
        ({"rescale_factor": 0}, '"rescale_factor" must be a number above 0, got 0'),
        ({"rescale_factor": True}, '"rescale_factor" must be'),
        ({"rescale_factor": "1"}, '"rescale_factor" must be'),
        ({"rescale_factor": 1e6}, '"rescale_factor" must be'),
        ({"rescale_factor": 1e-6}, '"rescale_factor" must be'),
    ],
)
def test_other_values_are_refused(tmp_path: Path, values: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _prepared(tmp_path, values)
    assert message in str(caught.value)
    assert "preprocessor_config.json: " in str(caught.value)


def test_a_mean_may_be_zero_or_negative(tmp_path: Path) -> None:
    assert _prepared(tmp_path, {"image_mean": [0, -1, 0], "do_rescale": False}).mean == (0.0, -1.0, 0.0)


@pytest.mark.parametrize("data", [b"\x00\x00", b"\x02\x00\x00", b"\x05\x00\x00\x00\x00"])
def test_a_part_without_a_number_is_none_of_an_onnx_file(data: bytes) -> None:
    assert unsound_onnx(data) == "it is not an ONNX file"
