"""Where training computes: the devices that share each batch, and how precisely they multiply.

The devices are not part of what a model is, so their number is in no config and no checkpoint.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from adapters.errors import ConfigError, TrainingError
from adapters.records import Devices
from adapters.system import captured_stderr, import_tensorflow

# What to do about a GPU that TensorFlow does not see: https://www.tensorflow.org/install/pip
GPU_ADVICE = (
    'A GPU that is missing needs its driver and TensorFlow\'s GPU packages (pip install "tensorflow[and-cuda]")'
)

Array = npt.NDArray[Any]
# Gradients of activations in float16 are multiplied by this, since small ones would become 0; a constant is enough for
# a fine-tune, whose gradients are far from float16's largest number (Micikevicius et al. 2018, arXiv:1710.03740, 3.2).
LOSS_SCALE = 1024.0


@dataclass(frozen=True)
class Replicas:
    """The devices that train, each with a copy of every variable; each batch is split evenly over them.

    Attributes:
        names: The devices as TensorFlow calls them, such as "GPU:0".
        strategy: The tf.distribute strategy under whose scope variables are to be made.
    """

    names: tuple[str, ...]
    strategy: Any

    @property
    def count(self) -> int:
        """How many devices."""
        return len(self.names)

    def scope(self) -> Any:
        """The context in which the variables of network and optimizer are made."""
        return self.strategy.scope()

    def compile(self, step: Callable[..., tuple[Any, Any]]) -> Callable[..., tuple[float, Array]]:
        """Compile a step on a share of a batch into a function of whole batches.

        Args:
            step: ``step(inputs, targets, weights, total)`` returns (sum, rows) of a device's share.

        Returns:
            A function of arrays whose first axis is a multiple of ``count``, and the scalar total that each device
            receives. It returns the sum over devices, and the rows of all devices in order.
        """
        tf = import_tensorflow()
        if self.count == 1:
            compiled = tf.function(step, reduce_retracing=True)
        else:
            compiled = tf.function(lambda *parts: self.strategy.run(step, args=parts), reduce_retracing=True)
        traced: list[bool] = []

        def call(inputs: Array, targets: Array, weights: Array, total: Array) -> tuple[float, Array]:
            parts = [self._split(array) for array in (inputs, targets, weights)]
            if traced:
                found = compiled(*parts, total)
            else:  # what TensorFlow's graph optimisers have to say they say on the first call
                with captured_stderr():
                    found = compiled(*parts, total)
                traced.append(True)
            sums, rows = (self.strategy.experimental_local_results(value) for value in found)
            return sum(float(value) for value in sums), np.concatenate([np.asarray(value) for value in rows])

        return call

    def _split(self, array: Array) -> Any:
        if self.count == 1:
            return array
        parts = np.split(array, self.count)
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: import_tensorflow().constant(parts[context.replica_id_in_sync_group])
        )


# What solves a head: the processor, without TensorFlow.
PROCESSOR = Replicas(("CPU:0",), None)


def pick_devices(wanted: Devices) -> Replicas:
    """The GPUs that train, or the processor's logical devices if TensorFlow sees no GPU.

    Args:
        wanted: How many, at least 1, or "all".

    Raises:
        ConfigError: wanted is neither.
        TrainingError: There are fewer devices.
    """
    if wanted != "all" and (isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 1):
        raise ConfigError(f'devices must be a whole number of at least 1, or "all", got {wanted!r}')
    tf = import_tensorflow()
    if wanted == 1:
        return one_device()
    names = _names("GPU") or _names("CPU")
    count = len(names) if wanted == "all" else wanted
    if count > len(names):
        raise TrainingError(
            f"{count} devices are requested, but TensorFlow sees {len(names)}: {', '.join(names)}. "
            f"Use at most {len(names)}, or all (--devices all). {GPU_ADVICE}"
        )
    if count == 1:
        return one_device()
    # Processors have no NCCL, and TensorFlow's other collectives wait for each other in threads that may be too few.
    reduction = None if "GPU" in names[0] else tf.distribute.ReductionToOneDevice()
    return Replicas(names[:count], tf.distribute.MirroredStrategy(names[:count], cross_device_ops=reduction))


def one_device() -> Replicas:
    """The one that TensorFlow takes by itself: the first GPU, or the processor."""
    return Replicas(((_names("GPU") or _names("CPU"))[0],), import_tensorflow().distribute.get_strategy())


def describe_devices(wanted: Devices) -> str:
    """The devices that would train, with their memory, such as "GPU:0, NVIDIA H100, 78.0 GiB".

    A GPU's memory is what TensorFlow may use of it, a processor's that of the whole machine.

    Args:
        wanted: How many, at least 1, or "all".

    Raises:
        ConfigError: wanted is neither.
        TrainingError: There are fewer devices.
    """
    return "; ".join(_describe(name) for name in pick_devices(wanted).names)


def describe_processor() -> str:
    """The processor as ``describe_devices`` has it, without TensorFlow: what a head is solved on."""
    return _describe(PROCESSOR.names[0])


def _describe(name: str) -> str:
    if name.startswith("CPU"):
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
        return f"{name}, {os.cpu_count()} cores" + (f", {memory / 2**30:.1f} GiB" if memory else "")
    from tensorflow.python.client import device_lib

    for device in device_lib.list_local_devices():
        if device.name.endswith(name):
            model = re.search(r"name: ([^,]+)", device.physical_device_desc)
            return f"{name}, {model[1] if model else 'GPU'}, {device.memory_limit / 2**30:.1f} GiB"
    return name


def out_of_memory(batch_size: int, replicas: Replicas, phase: str) -> TrainingError:
    """The error for a step that the memory did not suffice for; it names the next batch size to try.

    Args:
        batch_size: Clips per step, over all devices.
        replicas: The devices.
        phase: "head" or "fine_tune".
    """
    smaller = batch_size // 2 // replicas.count * replicas.count
    if smaller:
        step = f"Try --batch-size {smaller} (batch_size={smaller})"
    else:
        step = "This is the smallest batch size: lower imgz or n_frames, or fine-tune fewer layers (fine_tune_layers)"
    what = "fine-tuning" if phase == "fine_tune" else "training the head"
    return TrainingError(
        f"out of memory while {what} on {', '.join(replicas.names)} with a batch size of {batch_size}. {step}, or end "
        "other programs that use this memory"
    )


def _names(kind: str) -> tuple[str, ...]:
    """TensorFlow's devices of a kind, such as ("GPU:0", "GPU:1")."""
    found = import_tensorflow().config.list_logical_devices(kind)
    return tuple(str(device.name).removeprefix("/device:") for device in found)


@contextmanager
def mixed_precision(wanted: bool | Literal["auto"]) -> Iterator[float]:
    """Inside the block, compiled functions multiply in 16 bits.

    TensorFlow rewrites the graphs: convolutions and matrix products use 16-bit copies, while variables, the gradients
    as they arrive at them, losses and whatever else needs the range stay float32. A network needs no change for it.

    Args:
        wanted: "auto": on a GPU (float16); True: also on a processor (bfloat16); False: not at all.

    Yields:
        The factor to scale the loss by (Micikevicius et al. 2018, arXiv:1710.03740, section 3.2); 1 unless in float16.
    """
    tf = import_tensorflow()
    on_gpu = bool(_names("GPU"))
    if wanted is False or (wanted == "auto" and not on_gpu):
        yield 1.0
        return
    option = "auto_mixed_precision" if on_gpu else "auto_mixed_precision_onednn_bfloat16"
    before = bool(tf.config.optimizer.get_experimental_options().get(option, False))
    tf.config.optimizer.set_experimental_options({option: True})
    try:
        yield LOSS_SCALE if on_gpu else 1.0
    finally:
        tf.config.optimizer.set_experimental_options({option: before})


def check_batch(batch_size: int, replicas: Replicas) -> None:
    """Refuse a batch that has fewer clips than there are devices to share it.

    Args:
        batch_size: Clips per step, over all devices.
        replicas: The devices.

    Raises:
        TrainingError: Some devices would have nothing to do.
    """
    if batch_size < replicas.count:
        raise TrainingError(
            f'"batch_size" is {batch_size} and {replicas.count} devices share each batch, so some would have nothing '
            f"to do. Set batch_size to {replicas.count} or a multiple of it (--set batch_size={replicas.count}), or "
            f"use fewer devices (--devices {batch_size})"
        )


def same_noise(draw: Callable[[Sequence[Any]], Any], value: Any) -> Any:
    """Random numbers for a device's share of a batch: the rows that a single device would draw for these clips.

    Args:
        draw: Maps a shape to random numbers that follow from the step alone.
        value: This device's tensor [rows, ...], in a function that the strategy runs.

    Returns:
        A tensor of the shape of value.
    """
    tf = import_tensorflow()
    context, shape = tf.distribute.get_replica_context(), tf.unstack(tf.shape(value))
    first = context.replica_id_in_sync_group * shape[0]
    return draw(tf.stack([shape[0] * context.num_replicas_in_sync, *shape[1:]]))[first : first + shape[0]]
