"""A network run by TensorFlow where a LiteRT program would run it: what ``device: gpu`` predicts with."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from adapters.errors import AdapterError
from adapters.records import Float32Array
from adapters.system import import_tensorflow

if TYPE_CHECKING:
    from adapters.models.protocols import HasPrograms

# Items a call: enough to fill a GPU, small enough for its memory at any size of picture that the config allows.
BATCH_ITEMS = 32


def first_gpu() -> str:
    """The name of the first GPU that TensorFlow sees. AdapterError where there is none."""
    gpus = import_tensorflow().config.list_logical_devices("GPU")
    if not gpus:
        raise AdapterError(
            '"device" is "gpu", but TensorFlow sees no GPU. Install a driver and TensorFlow\'s GPU packages '
            '(pip install "tensorflow[and-cuda]"), or set "device" to "cpu"'
        )
    return str(gpus[0].name)


class TensorFlowProgram:
    """Runs the adapter's network on a TensorFlow device; the same ``run`` as ``runtime.Program``.

    Scores differ from the LiteRT program's by less than 0.001: another order of summation, and no TensorFloat-32.
    """

    def __init__(self, adapter: HasPrograms, device: str) -> None:
        from adapters.training import assign

        tf = import_tensorflow()
        # 10-bit mantissas would change scores by more than is promised.
        tf.config.experimental.enable_tensor_float_32_execution(False)
        self.device, self._lock = device, threading.Lock()
        with tf.device(device):
            network = adapter.build_network()
            assign(network, adapter.variables(network))
        spec = tf.TensorSpec([None, *adapter.program_shape], tf.float32)
        self._function = tf.function(network, input_signature=[spec], autograph=False)
        outputs = self._function.get_concrete_function().structured_outputs
        self.output_shapes = {name: tuple(value.shape) for name, value in outputs.items()}

    def run(self, batch: Float32Array) -> dict[str, Float32Array]:
        """float32 [N, *program_shape] to {"scores": [N, units], "features": [N, D]}."""
        tf = import_tensorflow()
        parts: list[dict[str, Float32Array]] = []
        with self._lock, tf.device(self.device):
            for first in range(0, len(batch), BATCH_ITEMS):
                outputs = self._function(tf.constant(batch[first : first + BATCH_ITEMS]))
                parts.append({name: value.numpy() for name, value in outputs.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in self.output_shapes}
