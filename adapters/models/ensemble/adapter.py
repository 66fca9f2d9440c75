"""Several models that vote on one answer, from one decoding of each video."""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adapters.base import BaseModelAdapter, OnEpochEnd, TrainOptions
from adapters.bundle import SEAL, Bundle, make_golden, read_bundle, read_seal, render_card, write_bundle
from adapters.config import Config, fill_defaults, key_schemas, override_config
from adapters.errors import BundleError, ConversionError, TrainingError
from adapters.inference import read_stored, require_class
from adapters.litert import clean_description
from adapters.models.cleaning import clean_copy
from adapters.models.ensemble.members import Member, member_clip, member_path, open_members, shared_spec
from adapters.models.ensemble.voting import vote
from adapters.protocols import StoredModel
from adapters.records import Clip, Float32Array, InputSpec, Prediction, RequestedPrecision
from adapters.reports import ConversionReport, TrainReport

# The keys of the common schema that an ensemble has a use for; the others are its members' own.
OWN_KEYS = {
    *("schema_version", "adapter", "name", "task", "labels", "positive_label", "members", "voting", "member_weights"),
    *("window_seconds", "stride_seconds", "top_k", "threshold", "smoothing_seconds", "min_segment_seconds"),
    *("merge_gap_seconds", "num_threads", "device", "batch_size", "gates"),
}
_FOLDER = "members"

# Defaults of earlier versions, which ensembles that these saved have written out.
_EARLIER = {"num_epochs": 8}


@dataclass(frozen=True, eq=False, repr=False)
class EnsemblePrediction(Prediction):
    """What the members predict together.

    Attributes:
        members: Each member's own prediction, in the config's order, with labels in the member's order.
    """

    members: tuple[Prediction, ...] = ()


class EnsembleAdapter(BaseModelAdapter):
    """Members of any kind and size with the same labels. Config: ``members``, ``voting``, ``member_weights``.

    Members are opened when the first of them is needed. ``save`` writes a bundle with all of them in it.
    """

    schema_path = Path(__file__).with_name("schema.json")

    def __init__(self, config: Mapping[str, Any], *, explicit: bool = False) -> None:
        super().__init__(config, explicit=explicit)
        self._bundle: Bundle | None = None
        self._opened: list[Member] | None = None
        self._lock = threading.RLock()

    @classmethod
    def config_problems(cls, config: Config) -> Iterable[str]:
        rules = key_schemas(cls)
        for key, value in config.items():
            if key not in OWN_KEYS and value not in (fill_defaults({}, {key: rules[key]})[key], _EARLIER.get(key)):
                yield f'"{key}" belongs to the members of an ensemble: set it in their configs'
        weights, members = config["member_weights"], config["members"]
        if len(members) < 2:
            yield f'"members" must list at least two models, e.g. ["racing", "cinematic"], got {members}'
        if (config["voting"] == "weighted") != (weights is not None):
            yield (
                '"member_weights" and voting "weighted" must be used together, got voting '
                f'"{config["voting"]}" and member_weights {"null" if weights is None else weights}. Set voting to '
                '"weighted", or member_weights to null'
            )
        if weights is not None and (len(weights) != len(members) or not sum(weights)):
            yield f'"member_weights" must be one number per member, not all 0, got {weights} for {len(members)} members'

    @classmethod
    def resolve_paths(cls, config: Config, folder: Path) -> Config:
        """Members that lie beside the config file, by their path from here."""
        beside = {name: member_path(folder, name) for name in config.get("members", ()) if isinstance(name, str)}
        found = {name: str(path) for name, path in beside.items() if path is not None}
        return {**config, "members": [found.get(name, name) for name in config["members"]]} if found else config

    # Members ------------------------------------------------------------------------------------------------------

    @property
    def members(self) -> list[Member]:
        """Opened now if they were not yet. ConfigError, BundleError or WeightsError say what is wrong with one."""
        with self._lock:
            if self._opened is None:
                folder = self._bundle.path if self._bundle is not None else None
                self._opened, self.config = open_members(self.config, folder, self.trusts)
            return self._opened

    @property
    def labels(self) -> tuple[str, ...]:
        if self.config["labels"] is None:
            _ = self.members
        return tuple(self.config["labels"])

    @property
    def input_spec(self) -> InputSpec:
        return shared_spec(self.members, self.config)

    @property
    def network_specs(self) -> tuple[InputSpec, ...]:
        return tuple(member.adapter.input_spec for member in self.members)

    @property
    def scores_frames(self) -> bool:
        """Where all members do: they then vote on each frame."""
        return all(member.adapter.scores_frames for member in self.members)

    # Predict ------------------------------------------------------------------------------------------------------

    def predict(self, batch: Sequence[Clip]) -> list[Prediction]:
        if not batch:
            return []
        spec = self.input_spec
        answers = [
            member.adapter.predict([member_clip(clip, member, spec) for clip in batch]) for member in self.members
        ]
        return [
            self._together(own, clip.start, clip.end)
            for clip, own in zip(batch, zip(*answers, strict=True), strict=True)
        ]

    @property
    def votes(self) -> bool:
        return True

    @property
    def merges_pieces(self) -> bool:
        return all(member.adapter.merges_pieces for member in self.members)

    def merge(self, pieces: Sequence[Prediction]) -> Prediction:
        """One prediction of a video from those of its pieces: each member's own, and then the vote."""
        found = []
        for number, member in enumerate(self.members):
            own = [piece.members[number] for piece in pieces if isinstance(piece, EnsemblePrediction)]
            found.append(member.adapter.merge(own))
        return self._together(tuple(found), pieces[0].start, pieces[-1].end)

    def _together(self, answers: tuple[Prediction, ...], start: float, end: float) -> Prediction:
        frames = [answer.frame_scores for answer in answers if answer.frame_scores is not None]
        alike = len(frames) == len(answers) and len({len(rows) for rows in frames}) == 1
        return EnsemblePrediction(
            self._vote([answer.scores for answer in answers]),
            self.labels,
            start,
            end,
            answers[0].source,
            self._vote(frames) if alike and not self.input_spec.parts else None,
            answers,
        )

    def _vote(self, scores: Sequence[Float32Array]) -> Float32Array:
        """Scores of each member [..., C] in its own order to those of all."""
        config = self.config
        positive = config["positive_label"]
        return vote(
            np.stack([own[..., member.columns] for own, member in zip(scores, self.members, strict=True)]),
            config["voting"],
            weights=config["member_weights"],
            exclusive=config["task"] == "single_label",
            positive=None if positive is None else self.labels.index(positive),
            threshold=config["threshold"],
        )

    def embed(self, batch: Sequence[Clip]) -> Float32Array:
        """The members' features, one after the other: float32 [N, sum of D]."""
        spec = self.input_spec
        found = [member.adapter.embed([member_clip(clip, member, spec) for clip in batch]) for member in self.members]
        return np.concatenate(found, axis=1)

    # Load and save ------------------------------------------------------------------------------------------------

    def load(self, local_path: str | Path) -> None:
        self.load_stored(read_stored(local_path))

    def load_stored(self, stored: StoredModel) -> None:
        require_class(self, stored)
        path = stored.path
        if not isinstance(stored, Bundle):
            raise BundleError(f"{path}: is a file, but an ensemble is saved as a bundle directory. Give that directory")
        for name, file in stored.extra.items():
            if file != path / name:
                raise BundleError(f"{path / name}: is incomplete: saving was interrupted. Save the ensemble again")
        for member in stored.config["members"]:
            if not any(name == member or name.startswith(f"{member}/") for name in stored.extra):
                raise BundleError(f"{path}: member {member!r} is not in the bundle. Save the ensemble again")
        given = {key: value for key, value in self.given.items() if key != "members"}
        given["adapter"] = stored.config["adapter"]
        self.config, _ = override_config(stored.config, given, str(path), explicit=self.explicit)
        self._bundle, self._opened = stored, None

    def save(self, local_path: str | Path) -> None:
        members = self.members
        names = _unique_names(members)
        extra: dict[str, bytes] = {}
        for member, name in zip(members, names, strict=True):
            extra |= _member_files(member, f"{_FOLDER}/{name}")
        config = {
            **self.config,
            "members": [_stored_name(member, name) for member, name in zip(members, names, strict=True)],
        }
        golden = make_golden(self.input_spec, self.predict)  # again: its scores follow from voting, a runtime key
        metrics = self._bundle.metrics if self._bundle is not None else {}
        write_bundle(
            local_path,
            config=config,
            programs={},
            weights=None,
            metrics=metrics,
            golden=golden,
            card=render_card({key: config[key] for key in OWN_KEYS}, self.labels, metrics, golden),
            extra=extra,
        )

    # What members do ----------------------------------------------------------------------------------------------

    def train(
        self,
        data_path: str | Path,
        output_path: str | Path,
        on_epoch_end: OnEpochEnd | None = None,
        options: TrainOptions = TrainOptions(),
    ) -> TrainReport:
        raise TrainingError(
            f"an ensemble is not trained itself, its members are: {', '.join(self.config['members'])}. Train each of "
            "them "
            '(cliplab train CONFIG DATA OUTPUT), then name their bundles in "members"'
        )

    def convert(
        self,
        output_path: str | Path,
        quantize: RequestedPrecision = "float32",
        calibration: Sequence[Clip] | None = None,
    ) -> ConversionReport:
        raise ConversionError(
            f"an ensemble has several programs, but a .tflite file holds one. Convert its members "
            f'({", ".join(self.config["members"])}) with cliplab convert, and name the .tflite files in "members"'
        )


def _unique_names(members: Sequence[Member]) -> list[str]:
    """A plain name for each member, by what it is called: racing, racing_2."""
    names: list[str] = []
    for member in members:
        plain = re.sub(r"[^A-Za-z0-9_+-]+", "_", Path(member.name).stem).strip("_") or "member"
        taken = {name.casefold() for name in names}
        number = next(n for n in range(1, len(members) + 1) if _numbered(plain, n).casefold() not in taken)
        names.append(_numbered(plain, number))
    return names


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}_{number}"


def _stored_name(member: Member, name: str) -> str:
    return f"{_FOLDER}/{name}{'.tflite' if _is_file(member) else ''}"


def _is_file(member: Member) -> bool:
    return isinstance(member.source, Path) and member.source.suffix.lower() == ".tflite"


def _member_files(member: Member, at: str) -> dict[str, bytes]:
    """The files of a member, as they lie on disk; what was opened from a config is saved first."""
    if _is_file(member):
        return {f"{at}.tflite": clean_description(Path(member.source).read_bytes())}
    if isinstance(member.source, Path) and member.source.is_dir():
        with clean_copy(member.source) as source:  # an older one with a path in it
            return _bundle_files(source, at)
    with tempfile.TemporaryDirectory(prefix="cliplab_") as folder:
        member.adapter.save(Path(folder) / "member")
        return _bundle_files(Path(folder) / "member", at)


def _bundle_files(folder: Path, at: str) -> dict[str, bytes]:
    """Every file of a bundle, verified, under another folder's name."""
    read_bundle(folder)
    names = [*read_seal(folder)[0], SEAL]
    try:
        return {f"{at}/{name}": (folder / name).read_bytes() for name in names}
    except OSError as error:
        raise BundleError(
            f"{error.filename}: cannot be read ({error.strerror}): saving {folder} was interrupted. Save it again"
        ) from error
