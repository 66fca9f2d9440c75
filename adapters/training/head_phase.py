"""The first phase of a training: the head alone, on cached features, solved or trained to convergence."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol, cast

import numpy as np
import numpy.typing as npt

from adapters.config import AdapterClass, Config, key_schemas
from adapters.data import Example
from adapters.records import Devices, Float32Array
from adapters.reports import EpochLog
from adapters.training.calibration import clip_probabilities
from adapters.training.clip_features import LabelledFeatures
from adapters.training.feature_cache import CachedFeatures, ExampleView
from adapters.training.fit_settings import FitData, FitResult, FitSettings, HeldOut, Inputs
from adapters.training.fitting import Fitter
from adapters.training.fold_division import group_folds
from adapters.training.head import is_linear
from adapters.training.linear_head import cross_validate
from adapters.training.phases import TrainingRun, fit_data
from adapters.training.regression import LinearHead, feature_scale, mean_loss, solve
from adapters.training.training_data import label_features

Route = Literal["logistic", "converge", "as_given"]

# What a person sets who wants gradient steps of their own; a value other than the default is such a wish.
HAND_SET_KEYS = ("num_epochs", "batch_size", "learning_rate")
# Training to convergence: features are small, so that a batch may be large; and an epoch of few clips is few steps, so
# that patience counts steps.
_CONVERGE_BATCH = 32
_PATIENCE_STEPS = 200
_FOLDS = 3
_SECONDS_BETWEEN_CHECKPOINTS = 2.0
# Numbers that the solver holds at once, in all views of all clips; beyond it only the plain views are solved for.
_MOST_NUMBERS = 200_000_000


class HasHead(Protocol):
    """An adapter whose head may be solved."""

    @property
    def config(self) -> Config: ...

    @property
    def trained(self) -> bool:
        """Whether it has a head from which training continues."""

    @property
    def scores_items(self) -> bool:
        """Whether the head scores each item of a clip by itself."""


def head_route(config: Config, defaults: Mapping[str, Any], trained: bool, *, scores_items: bool = True) -> Route:
    """How the head is trained.

    Args:
        config: A complete config.
        defaults: What the schema says of ``HAND_SET_KEYS`` where nobody set them.
        trained: Whether there is a head from which training continues.
        scores_items: Whether the head scores each item of a clip by itself, as a linear head does.

    Returns:
        "logistic": solved. "converge": by Adam until it no longer improves. "as_given": by Adam with the config's
        epochs, batch size and learning rate.
    """
    solver = config["head_solver"]
    by_hand = any(config[key] != defaults[key] for key in HAND_SET_KEYS)
    linear = scores_items and is_linear(config)
    if solver == "logistic" or (solver == "auto" and not trained and not by_hand and linear):
        return "logistic"
    return "as_given" if by_hand else "converge"


def fit_head(run: TrainingRun, features: CachedFeatures) -> FitResult:
    """Train the head alone.

    Args:
        run: The training; the head's variables are set to the best ones.
        features: The backbone's features of every view.
    """
    route = _route(run.adapter, run.continues, run.weights.scores_items)
    if route == "logistic":
        return _solve_head(run, features)
    if route == "as_given":
        return _train_head(run, features, run.settings("head"))
    return _converge(run, features)


def _route(adapter: HasHead, trained: bool, scores_items: bool) -> Route:
    keys = key_schemas(cast(AdapterClass, type(adapter)))
    defaults = {key: keys[key]["default"] for key in HAND_SET_KEYS}
    return head_route(adapter.config, defaults, trained, scores_items=scores_items)


def only_solves(adapter: HasHead, devices: Devices = 1) -> bool:
    """Whether training a model solves its head and does nothing else, for which no TensorFlow is needed.

    Args:
        adapter: The model.
        devices: How many devices are asked for; several are TensorFlow's.
    """
    config = adapter.config
    tunes = config["fine_tune_layers"] is not None or config["freeze_layers"] is not None
    return devices == 1 and not tunes and _route(adapter, adapter.trained, adapter.scores_items) == "logistic"


# Solved -----------------------------------------------------------------------------------------------------------


def _solve_head(run: TrainingRun, features: CachedFeatures) -> FitResult:
    plain = labelled_features(run, features, run.data.train)
    found = cross_validate(plain, run.config["seed"])
    views, whole = run.config["augment_views"] + 1, plain
    if plain.features.size * views <= _MOST_NUMBERS:
        whole = labelled_features(run, features, run.data.train, views)
    elif views > 1:
        _note(run, "augmented views are left out: the features would not fit in memory with them")
    validation = labelled_features(run, features, run.data.validation) if run.data.validation else None
    logs: list[EpochLog] = []
    stopped: list[bool] = []
    started = time.perf_counter()

    def after(head: LinearHead, loss: float) -> bool:
        nonlocal started
        now = time.perf_counter()
        _, accuracy = _figures(head, plain)
        val_loss, val_accuracy = (None, None) if validation is None else _figures(head, validation)
        log = EpochLog("head", len(logs), loss, accuracy, val_loss, val_accuracy, now - started, best=True)
        logs.append(log)
        started = now
        if run.on_epoch_end is not None and run.on_epoch_end(log) is False:
            stopped.append(True)
        return not stopped

    head = solve(whole, found.penalty, None, after, found.directions)
    if not logs:
        after(head, _figures(head, plain)[0])
    chosen = f"chosen over {found.folds} folds" if found.folds else "the default: there are too few clips to choose"
    iterations = f"{len(logs)} iteration{'s' * (len(logs) != 1)}"
    _note(run, f"head: logistic regression solved in {iterations}, penalty {found.penalty:.2g} ({chosen})")
    run.weights.set_output_layer(head.kernel, head.bias)
    held_out = HeldOut(found.logits, found.folds, {"penalty": found.penalty}) if found.folds else None
    return FitResult(tuple(logs), logs[-1].epoch, "interrupted" if stopped else "finished", held_out)


def _note(run: TrainingRun, text: str) -> None:
    if run.on_note is not None:
        run.on_note(text)


def labelled_features(
    run: TrainingRun, features: CachedFeatures, which: Sequence[Example], views: int = 1
) -> LabelledFeatures:
    """The features of clips with what the head should output for them; the views of a clip count as its items.

    Args:
        run: The training.
        features: The backbone's features.
        which: N clips.
        views: How many views of each, the plain one first.
    """
    rows = [features.of([ExampleView(example, number) for example in which]) for number in range(views)]
    return label_features(np.concatenate(rows, axis=1), which, run.data.labels, run.config, run.data.train)


def _figures(head: LinearHead, data: LabelledFeatures) -> tuple[float, float]:
    logits = head.logits(data.features)
    return mean_loss(logits, data), float(right_clips(logits, data).mean())


def right_clips(logits: Float32Array, data: LabelledFeatures) -> npt.NDArray[np.bool_]:
    """Whether each clip is decided right: the top class, or every unit on the right side of 0.5.

    Args:
        logits: float32 [N, items, units].
        data: The clips.

    Returns:
        bool [N].
    """
    scores = clip_probabilities(logits, 1.0, data.exclusive)
    if data.exclusive:
        return np.asarray(scores.argmax(axis=1) == data.targets.argmax(axis=1))
    return np.asarray(((scores >= 0.5) == (data.targets >= 0.5)).all(axis=1))


# Trained by gradient steps ----------------------------------------------------------------------------------------


Change = Callable[[Float32Array], Float32Array]


def _train_head(
    run: TrainingRun, features: CachedFeatures, settings: FitSettings, change: Change | None = None
) -> FitResult:
    validation = None
    if run.data.validation:
        validation = fit_data(run, run.data.validation, _view_inputs(run, features, run.data.validation, 0, change))
    fitter = _fitter(run, settings, "head")
    # A model that is trained further has to become better, or it stays as it was.
    start = fitter.measure(validation) if run.continues and validation is not None else None
    return fitter.fit(_training_clips(run, features, change), validation, run.on_epoch_end, start)


def _fitter(run: TrainingRun, settings: FitSettings, name: str) -> Fitter:
    head = run.network.head
    return Fitter(
        run.forward,
        head.trainable_variables,
        head.trainable_variables,
        run.network.dropout_step,
        settings,
        run.state_folder / f"{name}.safetensors",
        run.replicas,
        run.on_note,
    )


def _training_clips(run: TrainingRun, features: CachedFeatures, change: Change | None) -> FitData:
    inputs = _view_inputs(run, features, run.data.train, run.config["augment_views"], change)
    return fit_data(run, run.data.train, inputs)


def _view_inputs(
    run: TrainingRun, features: CachedFeatures, which: Sequence[Example], views: int, change: Change | None
) -> Inputs:
    """Features of clips: in each epoch of one of the views, drawn at random; of the plain one where there are none."""
    seed = run.config["seed"]

    def inputs(rows: Any, epoch: int | None) -> Float32Array:
        choice = np.random.default_rng([seed, 2, epoch or 0]).integers(0, views + 1, size=len(which))
        found = features.of([ExampleView(which[row], int(choice[row]) if views else 0) for row in rows])
        return found if change is None else change(found)

    return inputs


def _converge(run: TrainingRun, features: CachedFeatures) -> FitResult:
    """Adam until validation no longer improves; without validation clips, as long as held-out groups say."""
    count = len(run.data.train)
    settings = replace(run.settings("head"), batch_size=max(_CONVERGE_BATCH, run.config["batch_size"]))
    steps = -(-count // settings.batch_size)
    patience = max(settings.patience or settings.epochs, -(-_PATIENCE_STEPS // steps))
    settings = replace(
        settings, patience=patience, decay_patience=max(2, patience // 3), save_seconds=_SECONDS_BETWEEN_CHECKPOINTS
    )
    mean, scale = feature_scale(labelled_features(run, features, run.data.train))
    layer = next(layer for layer in run.network.head.layers if layer.weights)
    _fold(layer, -mean * scale, np.where(scale > 0, 1 / np.where(scale > 0, scale, 1), 0).astype(np.float32))

    def change(values: Float32Array) -> Float32Array:
        return (values - mean) * scale

    held_out = None
    if not run.data.validation:
        held_out = _held_out_by_gradient(run, features, settings, change)
    if held_out is not None:
        settings = replace(settings, epochs=int(held_out.chosen["epochs"]), patience=None)
    result = _train_head(run, features, settings, change)
    _fold(layer, mean, scale)
    return replace(result, held_out=held_out)


def _fold(layer: Any, mean: Float32Array, scale: Float32Array) -> None:
    """Make a dense layer of (x - mean) * scale one of x."""
    kernel = layer.kernel.numpy() * scale[:, None]
    layer.kernel.assign(kernel)
    layer.bias.assign(layer.bias.numpy() - mean @ kernel)


def _held_out_by_gradient(
    run: TrainingRun, features: CachedFeatures, settings: FitSettings, change: Change
) -> HeldOut | None:
    """Train the head once for each fold: how many epochs suit the groups that it did not see, and their logits."""
    data = _training_clips(run, features, change)
    groups = np.unique([example.group for example in run.data.train], return_inverse=True)[1].reshape(-1)
    folds = group_folds(groups, data.targets, run.config["seed"], _FOLDS)
    if not folds:
        return None
    head = run.network.head
    first = [np.asarray(variable.numpy()) for variable in head.trainable_variables]
    plain = _view_inputs(run, features, run.data.train, 0, change)
    logits: Float32Array | None = None
    best: list[int] = []
    for number, (learn, judge) in enumerate(folds):
        fitter = _fitter(run, settings, f"fold{number}")
        result = fitter.fit(_rows(data, learn), replace(_rows(data, judge), inputs=_of(plain, judge)), None)
        best.append((result.best_epoch or 0) + 1)
        found = logits_of(np.asarray(run.forward(plain(judge, None), False)), settings.exclusive)
        logits = np.zeros((len(data.targets), *found.shape[1:]), np.float32) if logits is None else logits
        logits[judge] = found
        for variable, value in zip(head.trainable_variables, first, strict=True):
            variable.assign(value)
    assert logits is not None
    return HeldOut(logits, len(folds), {"epochs": float(max(1, round(float(np.mean(best)))))})


def _rows(data: FitData, rows: npt.NDArray[np.int64]) -> FitData:
    groups = None if data.groups is None else data.groups[rows]
    return FitData(_of(data.inputs, rows), data.targets[rows], data.weights[rows], groups)


def _of(inputs: Inputs, rows: npt.NDArray[np.int64]) -> Inputs:
    return lambda chosen, epoch: inputs(rows[chosen], epoch)


def logits_of(scores: Float32Array, exclusive: bool) -> Float32Array:
    """Logits whose softmax or sigmoid are these scores.

    Args:
        scores: float32 [..., units] in 0..1.
        exclusive: Whether they are a softmax.

    Returns:
        float32 [..., units].
    """
    clipped = np.clip(scores, 1e-7, 1 - 1e-7)
    return np.asarray(np.log(clipped) if exclusive else np.log(clipped) - np.log1p(-clipped), np.float32)
