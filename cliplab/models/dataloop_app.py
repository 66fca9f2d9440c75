"""`cliplab dataloop manifest`: the Dataloop app's dataloop.json, written from the ready configs and their schemas."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from adapters.errors import ConfigError
from adapters.hosts.dataloop.pods import PODS, is_too_small, size_of
from adapters.system import write_text_atomic
from cliplab import __version__
from cliplab.models.dataloop_parts import ICON, RUNNER_IMAGE, app_models, compute_configs, model, module
from cliplab.outputs import require_new

SCHEMA = Path(__file__).with_name("dataloop_manifest.schema.json")
LINE = 110  # characters of a value that fits one line of the file


@dataclass(frozen=True)
class DataloopManifestReport:
    """The state of a Dataloop app's manifest.

    Attributes:
        path: The manifest.
        models: Names of the models in it.
        current: Whether the file contains what the configs require now.
        difference: With check, the first lines that differ.
    """

    path: str
    models: tuple[str, ...]
    current: bool
    difference: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object."""
        return asdict(self)


def dataloop_manifest(
    output: str | Path = "dataloop.json",
    *,
    check: bool = False,
    git_url: str | None = None,
    model_id: str | None = None,
    runner_image: str | None = None,
    force: bool = False,
) -> DataloopManifestReport:
    """Write the Dataloop app's manifest from the ready configs, or compare an existing one with them.

    Args:
        output: The manifest.
        check: Compare output with the configs and write nothing.
        git_url: Where the platform finds the code, at the tag of this version; None lets publishing pack the folder of
            the manifest.
        model_id: The size of the MoViNet models, "a0" to "a5", with the pods that fit it; default: "a0".
        runner_image: The image that the app's services run; default: Dataloop's own with Python 3.11.
        force: Replace a manifest that says something else.

    Returns:
        The models in the manifest, and whether the file is up to date.

    Raises:
        ConfigError: The file cannot be read, or model_id is not a size of MoViNet.
        StorageError: The file says something else and force is not given, or it cannot be written.
    """
    path = Path(output)
    manifest = make_manifest(git_url, model_id=model_id, runner_image=runner_image)
    text = manifest_text(manifest)
    names = tuple(entry["name"] for entry in manifest["components"]["models"])
    if not check:
        if not (path.is_file() and path.read_bytes() == text.encode()):
            require_new(path, force)
            write_text_atomic(path, text)
        return DataloopManifestReport(str(path), names, True)
    try:
        found = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file to check. Write it with: cliplab dataloop manifest") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}: cannot be read ({error}). Replace it with: cliplab dataloop manifest --force"
        ) from error
    lines = difflib.unified_diff(found.splitlines(), text.splitlines(), str(path), "the configs", n=0, lineterm="")
    return DataloopManifestReport(str(path), names, found == text, tuple(islice(lines, 20)))


def make_manifest(
    git_url: str | None = None, *, model_id: str | None = None, runner_image: str | None = None
) -> dict[str, Any]:
    """The manifest as a JSON object, checked against its schema.

    Args:
        git_url: As for ``dataloop_manifest``.
        model_id: As for ``dataloop_manifest``.
        runner_image: As for ``dataloop_manifest``.

    Raises:
        ConfigError: An argument is wrong.
    """
    image = RUNNER_IMAGE if runner_image is None else runner_image
    manifest: dict[str, Any] = {
        "name": "cliplab-video-models",
        "displayName": "Video models: MoViNet and frame classifiers",
        "icon": ICON,
        "version": __version__,
        "scope": "project",
        "description": "Classify videos over time, and images; train on your own labels. MoViNet A0 to A5, base and "
        "stream, and classifiers of single frames.",
        "attributes": {
            "Provider": "cliplab",
            "Category": "Model",
            "Computer Vision": "Video Classification",
            "Media Type": ["Video", "Image"],
            "License": "Apache 2.0",
        },
        "components": {
            "computeConfigs": [config for size in PODS for config in compute_configs(size, image)],
            "modules": [module(size) for size in PODS],
            "models": [model(entry, model_id) for entry in app_models()],
        },
    }
    if git_url is not None:
        manifest["codebase"] = {"type": "git", "gitUrl": git_url, "gitTag": __version__}
    check_manifest(manifest)
    return manifest


def manifest_text(value: Any) -> str:
    """A manifest as the text of its file: one line for what is short, and for the labels of a model.

    Args:
        value: The manifest as a JSON object.
    """
    return _text(value, "") + "\n"


def _text(value: Any, indent: str) -> str:
    line = json.dumps(value, ensure_ascii=False)
    labels = isinstance(value, list) and len(value) > 1 and all(isinstance(item, str) for item in value)
    if not isinstance(value, dict | list) or labels or len(line) <= LINE:
        return line
    inner = indent + "  "
    if isinstance(value, dict):
        keys = (json.dumps(key, ensure_ascii=False) for key in value)
        parts = [f"{inner}{key}: {_text(item, inner)}" for key, item in zip(keys, value.values(), strict=True)]
    else:
        parts = [inner + _text(item, inner) for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n" + ",\n".join(parts) + f"\n{indent}{closing}"


def check_manifest(manifest: Mapping[str, Any], where: str = "dataloop.json") -> None:
    """Check a manifest against the schema, and its names against each other.

    Args:
        manifest: The manifest as a JSON object.
        where: The file's name in the error message.

    Raises:
        ConfigError: The manifest is wrong; the message lists every fault.
    """
    from jsonschema import Draft202012Validator

    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    problems = [
        f"{'.'.join(map(str, error.absolute_path)) or 'the manifest'}: {error.message:.300}"
        for error in Draft202012Validator(schema).iter_errors(manifest)
    ] or list(_loose_ends(manifest))
    if problems:
        raise ConfigError("\n".join(f"{where}: {problem}" for problem in problems))


def _loose_ends(manifest: Mapping[str, Any]) -> list[str]:
    """Names that nothing has, and names given twice, in a manifest of the right form."""
    parts = manifest["components"]
    names = {key: [entry["name"] for entry in parts[key]] for key in ("computeConfigs", "modules", "models")}
    found = [
        f"{key}: {name!r} occurs twice" for key, all_ in names.items() for name in set(all_) if all_.count(name) > 1
    ]
    used = [(entry["name"], entry["computeConfig"]) for entry in parts["modules"]]
    used += [(f["name"], f["computeConfig"]) for m in parts["modules"] for f in m["functions"] if "computeConfig" in f]
    found += [f"{by}: computeConfig {name!r} is not listed" for by, name in used if name not in names["computeConfigs"]]
    pods = {entry["name"]: entry["runtime"]["podType"] for entry in parts["computeConfigs"]}
    of = {entry["name"]: pods.get(entry["computeConfig"], "") for entry in parts["modules"]}
    for entry in parts["models"]:
        by, size = entry["moduleName"], size_of(entry["configuration"])
        if by not in of:
            found.append(f"{entry['name']}: moduleName {by!r} is not listed")
        elif is_too_small(of[by], size):
            found.append(
                f'{entry["name"]}: "model_id" {entry["configuration"]["model_id"]} is too large for the pod type '
                f'{of[by]!r} of module {by!r}. Set "moduleName" to "cliplab-{size}", or the "podType" of that '
                f"module's computeConfig to {PODS[size][0]!r}"
            )
    return found
