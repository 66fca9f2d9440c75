"""The folder of a pair: which files it holds, and how pictures are prepared. Nothing of it is run here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.errors import ConfigError
from adapters.inference import IMAGE_FILES, PREPROCESSOR_FILE, TEXT_FILES, layout_text
from adapters.records import Aspect
from adapters.system import parse_json, read_regular_bytes

# CLIP's own preprocessing: openai/CLIP, clip.py, _transform. In 0..1.
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_MOST_BYTES = 1 << 20
# Names by which exporters know the same networks, for messages.
_OTHER_NAMES = {
    "vision_model": "image",
    "visual": "image",
    "image_encoder": "image",
    "clip_image": "image",
    "text_model": "text",
    "textual": "text",
    "text_encoder": "text",
    "clip_text": "text",
}
_OTHER_FRAMEWORKS = (".pt", ".pth", ".bin", ".safetensors", ".h5", ".pb", ".msgpack")


@dataclass(frozen=True)
class PairFiles:
    """The files of a pair.

    Attributes:
        folder: Where they lie.
        image: The network of pictures, .onnx or .tflite.
        text: The network of texts.
        tokenizer: ``tokenizer.json``, or ``vocab.json`` and ``merges.txt``.
    """

    folder: Path
    image: Path
    text: Path
    tokenizer: tuple[Path, ...]


@dataclass(frozen=True)
class Preparation:
    """How a picture becomes the image network's input.

    Attributes:
        size: Height and width in pixels that the file names; None where it names none.
        mean: Of R, G, B, in levels (0..255).
        scale: What is divided by, of R, G, B, in levels.
        aspect: How a picture of another shape is fitted.
        crop_fraction: As in ``InputSpec``.
    """

    size: tuple[int, int] | None
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    aspect: Aspect
    crop_fraction: float


def find_pair(folder: str | Path) -> PairFiles:
    """The files of a pair.

    Args:
        folder: The folder.

    Raises:
        ConfigError: Something is missing, or there twice; the message says which file has to be put there.
    """
    place = Path(folder)
    if not place.is_dir():
        what = "is a file" if place.is_file() else "there is no such folder"
        raise ConfigError(f"{folder}: {what}; prompts need a folder with {layout_text()}")
    image, text = (_one_of(place, names) for names in (IMAGE_FILES, TEXT_FILES))
    whole, vocabulary = place / "tokenizer.json", (place / "vocab.json", place / "merges.txt")
    if whole.is_file():
        return PairFiles(place, image, text, (whole,))
    if not all(path.is_file() for path in vocabulary):
        missing = [path.name for path in vocabulary if not path.is_file()]
        raise ConfigError(
            f"{place}: has no tokenizer ({' and '.join(['tokenizer.json', *missing])} missing). Add the "
            "tokenizer.json of the same text network, or its vocab.json and merges.txt"
        )
    return PairFiles(place, image, text, vocabulary)


def _one_of(folder: Path, names: Sequence[str]) -> Path:
    found = [folder / name for name in names if (folder / name).is_file()]
    if len(found) == 1:
        return found[0]
    wanted = " or ".join(names)
    if found:
        raise ConfigError(f"{folder}: has both {wanted}. Remove one of them")
    raise ConfigError(f"{folder}: has no {wanted}{_hint(folder, names)}. A pair's folder holds {layout_text()}")


def _hint(folder: Path, names: Sequence[str]) -> str:
    """What there is instead, so that it can be renamed or exported."""
    part = names[0].partition(".")[0]
    there = sorted(path.name for path in folder.iterdir() if path.is_file())[:200]
    for name in there:
        stem, _, suffix = name.rpartition(".")
        if _OTHER_NAMES.get(stem.lower()) == part and suffix in ("onnx", "tflite"):
            return f". Rename {name} to {part}.{suffix}"
    foreign = next((name for name in there if name.endswith(_OTHER_FRAMEWORKS)), None)
    if foreign is not None:
        return f"; {foreign} is not supported. Export both networks as ONNX or TensorFlow Lite"
    return ""


def read_preparation(folder: Path) -> Preparation:
    """How pictures are prepared, by ``preprocessor_config.json``; CLIP's own way where there is none.

    Args:
        folder: The folder of the pair.

    Raises:
        ConfigError: A value in the file is not allowed.
    """
    path = folder / PREPROCESSOR_FILE
    values: Any = {}
    if path.is_file():
        try:
            values = parse_json(read_regular_bytes(path, _MOST_BYTES, ConfigError))
        except ValueError as error:
            raise ConfigError(f"{path}: is not JSON ({error}). Copy it again from the networks' source") from None
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: is not a JSON object. Copy it again from the networks' source")
    mean, std = (_three(path, values, name, usual) for name, usual in (("image_mean", _MEAN), ("image_std", _STD)))
    if values.get("do_normalize") is False:
        mean, std = (0.0,) * 3, (1.0,) * 3
    level = _level(path, values)
    crops = values.get("do_center_crop", True) is not False
    shown, kept = _size(path, values, "size"), _size(path, values, "crop_size")
    size = kept if crops and kept is not None else shown
    fraction = 1.0
    if crops and kept is not None and shown is not None and min(kept) < min(shown):
        fraction = min(kept) / min(shown)
    return Preparation(
        size,
        tuple(value * level for value in mean),
        tuple(value * level for value in std),
        "crop" if crops else "stretch",
        max(fraction, 0.1),
    )


def _level(path: Path, values: dict[str, Any]) -> float:
    """By how much levels of 0..255 are divided before mean and spread."""
    factor = values.get("rescale_factor", 1 / 255)
    if values.get("do_rescale") is False:
        return 1.0
    if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 1e-6 < factor < 1e6:
        raise ConfigError(f'{path}: "rescale_factor" must be a number above 0, got {factor!r:.40}')
    return 1 / float(factor)


def _three(path: Path, values: dict[str, Any], name: str, usual: tuple[float, ...]) -> tuple[float, ...]:
    found = values.get(name, usual)
    good = isinstance(found, (list, tuple)) and len(found) == 3
    good = good and all(
        isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) for value in found
    )
    # Of levels, in 0..1 or 0..255: a spread of nearly nothing is 0 in float32.
    low, high = (1e-6, 1e6) if name == "image_std" else (-1e6, 1e6)
    if not good or not all(low <= value <= high for value in found):
        raise ConfigError(
            f'{path}: "{name}" must be three numbers, of R, G and B, got {found!r:.80}; each from {low:g} to {high:g}'
        )
    return tuple(map(float, found))


def _size(path: Path, values: dict[str, Any], name: str) -> tuple[int, int] | None:
    """Height and width in pixels."""
    found = values.get(name)
    sides: tuple[Any, Any]
    if isinstance(found, dict):
        short = found.get("shortest_edge")
        sides = (short, short) if short is not None else (found.get("height"), found.get("width"))
    else:
        sides = (found, found)
    if sides == (None, None):
        return None
    if not all(isinstance(side, int) and not isinstance(side, bool) and 1 <= side <= 4096 for side in sides):
        raise ConfigError(f'{path}: "{name}" must be pixels from 1 to 4096, got {found!r:.80}')
    return sides[0], sides[1]
