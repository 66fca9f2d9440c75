"""MoViNet SavedModels, as TF Hub serves them and tf-models exports them: their variables, and whether we compute alike.

The variables are read as data. The model itself runs once, on a small rendered clip, to compare its logits with ours,
after a check that its graph only computes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from adapters.bundle import render_clip
from adapters.errors import WeightsError
from adapters.records import Float32Array, InputSpec
from adapters.system import captured_stderr, import_tensorflow
from adapters.training import assign
from movinet_adapter.architecture import Architecture, initial_states
from movinet_adapter.network import MoViNetNetwork, build_movinet, freeze
from movinet_adapter.weights.checkpoint_graph import first_line, open_checkpoint
from movinet_adapter.weights.mapping import Variables, class_count, fit_by_order
from movinet_adapter.weights.safe_graph import require_safe_graph

# Of the largest logit. Both sides compute in float32 with other orders of summation, which comes to about 1e-6; a
# variable in another's place comes to 0.1 and more.
LOGITS_TOLERANCE = 1e-3
_FRAMES, _SIZE = 4, 64  # small, for the published models take seconds per clip; used where the model takes any size


def read_saved_model(folder: str, of: Architecture, where: str) -> Variables:
    """The variables of a MoViNet SavedModel by our names, once its logits were found to equal ours.

    Takes 10 to 30 seconds for a0, most of it the compilation of the published model.

    Args:
        folder: Any path that TensorFlow opens.
        of: The architecture that it must fit.
        where: What messages call it.

    Returns:
        float32 arrays by name.

    Raises:
        WeightsError: It is damaged, of another model (the message names the variable, as both sides call it), or
            computes something else.
    """
    tf = import_tensorflow()
    if not tf.io.gfile.exists(f"{folder}/saved_model.pb"):
        raise WeightsError(f"{where} has no saved_model.pb. Give the complete folder of a SavedModel.")
    graph = open_checkpoint(f"{folder}/variables/variables", where)
    listed = graph.find("variables")
    if listed is None:
        raise WeightsError(
            f"{where} has no list of variables, so Keras did not write it. Give the SavedModel of MoViNet "
            f"{of.model_id} {of.mode}."
        )
    nodes = graph.children(listed)
    found = [graph.read(nodes[str(number)]) for number in range(len(nodes)) if str(number) in nodes]
    variables = fit_by_order(of, found, where)
    _compare_logits(folder, where, of, variables)
    return variables


def _compare_logits(folder: str, where: str, of: Architecture, variables: Variables) -> None:
    """WeightsError where the SavedModel gives other logits than our network with these variables."""
    tf = import_tensorflow()
    require_safe_graph(folder, where)
    try:
        with captured_stderr():
            restored = tf.saved_model.load(folder)  # owns the variables, so it must outlive its functions
            run = restored.signatures["call" if "call" in restored.signatures else "serving_default"]
            specs = run.structured_input_signature[1]
            batch, times, height, width = (int(size or 0) for size in specs["image"].shape[:4])
    except Exception as error:  # whatever a foreign or damaged graph leads to
        raise WeightsError(
            f"{where} could not be loaded as a model that takes an image ({first_line(error)}). Give the SavedModel of "
            f"MoViNet {of.model_id} {of.mode}, complete."
        ) from error
    spec = InputSpec(height or _SIZE, width or _SIZE, times if times and of.mode == "base" else _FRAMES)
    network = build_movinet(
        of.model_id,
        of.mode,
        height=spec.height,
        width=spec.width,
        n_frames=spec.n_frames,
        num_classes=class_count(variables) or 1,
    )
    assign(network, variables)
    clip = np.asarray(render_clip(spec).frames[None].repeat(batch or 1, axis=0) / 255, np.float32)
    try:
        with captured_stderr():
            theirs = _base_logits(run, clip) if of.mode == "base" else _stream_logits(run, specs, network, clip)
    except Exception as error:
        raise WeightsError(
            f"{where} could not be run on a clip {list(clip.shape)} ({first_line(error)}). Give the SavedModel of "
            f"MoViNet {of.model_id} {of.mode}."
        ) from error
    _require_same(where, of, theirs, np.asarray(freeze(network)(tf.constant(clip[:1]))["logits"]))


def _base_logits(run: Any, clip: Float32Array) -> Float32Array:
    tf = import_tensorflow()
    (logits,) = run(image=tf.constant(clip)).values()
    return np.asarray(logits)[:1]


def _stream_logits(run: Any, specs: Any, network: MoViNetNetwork, clip: Float32Array) -> Float32Array:
    """The logits after the last frame: as many frames per step as the program takes, one if it takes any number, so
    that its states count."""
    tf = import_tensorflow()
    states = {name: tf.constant(value) for name, value in initial_states(network.states).items()}
    step = specs["image"].shape[1] or 1
    outputs: Any = {}
    for start in range(0, clip.shape[1], step):
        outputs = dict(run(image=tf.constant(clip[:, start : start + step]), **states))
        states = {name: outputs[name] for name in states}
    return np.asarray(outputs["logits"])


def _require_same(where: str, of: Architecture, theirs: Float32Array, ours: Float32Array) -> None:
    if theirs.shape != ours.shape:
        raise WeightsError(
            f"{where} returns logits {list(theirs.shape)}, but MoViNet {of.model_id} {of.mode} returns "
            f"{list(ours.shape)}. Give the SavedModel of that model."
        )
    scale = max(float(np.abs(theirs).max()), 1e-6)
    difference = float(np.abs(theirs - ours).max()) / scale
    if not difference <= LOGITS_TOLERANCE:  # also where one is not a number
        raise WeightsError(
            f"{where} has the variables of MoViNet {of.model_id} {of.mode} but computes something else: its logits "
            f"differ from ours by {difference:.2g} of the largest; {LOGITS_TOLERANCE:g} is allowed. Give the "
            "published SavedModel, or one that tf-models' export_saved_model wrote with the published settings."
        )
