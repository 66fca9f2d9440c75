"""LiteRT programs that carry named states from frame to frame. No TensorFlow.

A stream program takes one frame and every state by name, and gives its outputs and every new state. Here a
``StreamState`` belongs to one stream, and leases an interpreter while it is advanced, so that many streams share a
program and as many interpreters as there are threads at work. The newest states stay in the interpreter until another
stream needs it, so a stream that has an interpreter to itself copies each state once a frame, from output to input.
"""

from __future__ import annotations

import ctypes
import math
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.errors import BundleError
from adapters.litert import graph as litert_graph
from adapters.litert.interpreter import not_run, open_interpreter, read_program
from adapters.litert.runtime import thread_count
from adapters.litert.stream_signature import IMAGE, States, TensorSpec, read_initial_states, step_signature
from adapters.records import Float32Array, Precision

Array = npt.NDArray[Any]
BeforeStep = Callable[[Mapping[str, Array]], object]


class StreamProgram:
    """A .tflite that steps along a stream; safe to call from several threads at once, each with states of its own.

    Attributes:
        name: What messages call it.
        num_threads: Maximum number of interpreters, each of one thread.
        model_bytes: The file's bytes.
        size_bytes: The file's size.
        image_shape: (1, 1, H, W, 3).
        states: What a stream remembers, by name.
        output_shapes: The shapes of all other outputs, by name.
    """

    def __init__(self, model: Path | str | bytes, num_threads: int | None = None, name: str | None = None) -> None:
        """Read the file and open a first interpreter.

        Args:
            model: A path, or the file's bytes.
            num_threads: Maximum number of interpreters; None for one per core.
            name: What messages call it; default: the path.

        Raises:
            BundleError: The file is missing, damaged or not a stream program.
            ConfigError: num_threads is less than 1.
        """
        self.name = name or ("the given program" if isinstance(model, bytes) else str(model))
        self.num_threads = thread_count(num_threads)
        self.model_bytes = model if isinstance(model, bytes) else read_program(Path(model), self.name)
        self.size_bytes = len(self.model_bytes)
        interpreter = open_interpreter(self.model_bytes, self.name)
        self._inputs, self._outputs = step_signature(interpreter, self.name)
        self.image_shape = self._inputs[IMAGE].shape
        self.states = {name: spec for name, spec in self._inputs.items() if name != IMAGE}
        self.output_shapes = {name: spec.shape for name, spec in self._outputs.items() if name not in self.states}
        self._initial = read_initial_states(interpreter, self.states, self.name)
        self._idle = threading.Condition()
        self._slots = [_Slot(interpreter, self)]
        self._made = 1

    @cached_property
    def precision(self) -> Precision:
        """``float32``, ``float16``, ``dynamic`` or ``int8``, read from the types of the file's tensors."""
        return litert_graph.precision(self.model_bytes, self.name)

    @property
    def state_bytes(self) -> int:
        """The size of one stream's states."""
        return sum(value.nbytes for value in self._initial.values())

    def initial_states(self) -> States:
        """The states of a stream that has seen nothing, as new arrays."""
        return {name: value.copy() for name, value in self._initial.items()}

    def open(self, states: Mapping[str, Array] | None = None) -> StreamState:
        """Open a new stream.

        Args:
            states: The states to copy and continue from; None for the start of a stream.

        Raises:
            BundleError: The states do not fit the program.
        """
        if states is not None:
            self._check_states(states)
        return StreamState(self, {name: np.array(value) for name, value in (states or self._initial).items()})

    def run_clips(self, clips: Sequence[Float32Array]) -> list[dict[str, Array]]:
        """Run whole clips, each from a stream's start and several at once.

        Args:
            clips: float32 [T, H, W, 3] each, preprocessed; T may differ.

        Returns:
            Each clip's outputs by name, one row per frame: see ``StreamState.advance``.

        Raises:
            BundleError: A clip has another shape or type than the program's input.
        """
        workers = min(self.num_threads, len(clips))
        if workers < 2:
            return [self.open().advance(clip) for clip in clips]
        with ThreadPoolExecutor(workers, thread_name_prefix="stream") as pool:
            return list(pool.map(lambda clip: self.open().advance(clip), clips))

    def __repr__(self) -> str:
        return (
            f"StreamProgram({self.name!r}, image {list(self.image_shape)}, {len(self.states)} states, "
            f"outputs {self.output_shapes})"
        )

    def _take(self, state: StreamState) -> _Slot:
        """A slot that no other stream uses; the states that it holds are this stream's or nobody's."""
        with self._idle:
            while True:
                # Its own is idle if it has one: whoever takes that moves the states out. Then one that holds none.
                slot = state._slot or next((free for free in self._slots if free.holder() is None), None)
                if slot is None and self._made < self.num_threads:
                    self._made += 1
                    break
                if slot is None and self._slots:
                    slot = self._slots[0]  # the one that was given back longest ago
                if slot is not None:
                    self._slots.remove(slot)
                    slot.give_up(unless=state)
                    return slot
                self._idle.wait()
        try:
            return _Slot(open_interpreter(self.model_bytes, self.name, tried=True), self)
        except BaseException:
            with self._idle:
                self._made -= 1
                self._idle.notify()
            raise

    def _give_back(self, slot: _Slot) -> None:
        with self._idle:
            if slot.usable:
                self._slots.append(slot)
            else:
                self._made -= 1
            self._idle.notify()

    def _check_images(self, images: object) -> None:
        frame = self.image_shape[2:]
        if not isinstance(images, np.ndarray) or images.dtype != np.float32 or images.shape[1:] != frame:
            received = f"{images.dtype} {list(images.shape)}" if isinstance(images, np.ndarray) else type(images)
            raise BundleError(
                f"{self.name} takes float32 [T, {', '.join(map(str, frame))}] but received {received}. Preprocess to "
                "that size, or make a program for another size with cliplab convert."
            )

    def _check_states(self, states: Mapping[str, Array]) -> None:
        for name in sorted(set(states) ^ set(self.states)):
            raise BundleError(
                f"{self.name}: state {name!r} is {'unknown' if name in states else 'missing'}. Give the states that "
                "this program wrote."
            )
        for name, spec in self.states.items():
            if states[name].shape != spec.shape or states[name].dtype != spec.dtype:
                raise BundleError(
                    f"{self.name}: state {name!r} is {states[name].dtype} {list(states[name].shape)} and must be "
                    f"{spec.dtype} {list(spec.shape)}. Give the states that this program wrote."
                )


class StreamState:
    """The states of one stream, for one thread at a time; ``StreamProgram.open`` makes it."""

    def __init__(self, program: StreamProgram, arrays: States) -> None:
        self.program = program
        self._arrays = arrays
        self._slot: _Slot | None = None  # where the newest values are; None: in _arrays

    def advance(self, images: Float32Array, before_step: BeforeStep | None = None) -> dict[str, Array]:
        """Feed the next frames. Any error while stepping resets the stream.

        Args:
            images: float32 [T, H, W, 3], preprocessed.
            before_step: Called before each frame with the states by name, which it may change in place but not keep.

        Returns:
            Each output by name, one row per frame: ``scores`` float32 [T, units], ``features`` float32 [T, D].

        Raises:
            BundleError: The images have another shape or type than the program's input.
        """
        program = self.program
        program._check_images(images)
        results = {
            name: np.empty((len(images), *shape[1:]), program._outputs[name].dtype)
            for name, shape in program.output_shapes.items()
        }
        if not len(images):
            return results
        slot = program._take(self)
        try:
            slot.hold(self)
            for index, image in enumerate(images):
                slot.step(image, before_step)
                for name, result in results.items():
                    result[index] = slot.outputs[name][0]
        except BaseException:
            self._forget(slot)  # half a step is not a state to continue from
            raise
        finally:
            program._give_back(slot)
        return results

    def arrays(self) -> States:
        """Copies of the states as they are now."""
        with self.program._idle:
            if self._slot is not None:
                self._slot.save(self)
        return {name: value.copy() for name, value in self._arrays.items()}

    def reset(self) -> None:
        """Back to a stream that has seen nothing."""
        with self.program._idle:
            self._forget(self._slot)

    def _forget(self, slot: _Slot | None) -> None:
        if slot is not None:
            slot.owner = None
        self._slot = None
        for name, value in self.program._initial.items():
            np.copyto(self._arrays[name], value)


class _Slot:
    """An interpreter and the stream whose newest states it holds. inputs, outputs: its own memory, by name."""

    def __init__(self, interpreter: Any, program: StreamProgram) -> None:
        self.interpreter = interpreter
        self.inputs = {name: _memory(interpreter, spec, program.name) for name, spec in program._inputs.items()}
        self.outputs = {name: _memory(interpreter, spec, program.name) for name, spec in program._outputs.items()}
        tensors = [*program._inputs.values(), *program._outputs.values()]
        self._watched = [(spec, _address(interpreter, spec, program.name)) for spec in tensors]
        self.usable = True  # whether the arrays above are still the interpreter's memory
        self.name, self.states = program.name, tuple(program.states)
        self.image = self.inputs[IMAGE][0, 0]
        self.carried = [(self.inputs[name], self.outputs[name]) for name in self.states]
        self.owner: weakref.ref[StreamState] | None = None
        self.stepped = False  # whether the newest states are among the outputs, not the inputs

    def holder(self) -> StreamState | None:
        """The stream whose states are here, while anyone still has it."""
        return self.owner() if self.owner is not None else None

    def hold(self, state: StreamState) -> None:
        """Load a stream's states, unless they are here."""
        if state._slot is self:
            return
        for name in self.states:
            np.copyto(self.inputs[name], state._arrays[name])
        self.owner, self.stepped, state._slot = weakref.ref(state), False, self

    def give_up(self, unless: StreamState) -> None:
        """Move the states that are here out to their stream."""
        state = self.holder()
        if state is not None and state is not unless:
            self.save(state)
            state._slot, self.owner = None, None

    def save(self, state: StreamState) -> None:
        newest = self.outputs if self.stepped else self.inputs
        for name in self.states:
            np.copyto(state._arrays[name], newest[name])

    def step(self, image: Float32Array, before_step: BeforeStep | None) -> None:
        if self.stepped:
            for before, after in self.carried:
                before[...] = after  # np.copyto takes half a microsecond longer, and there are dozens
            self.stepped = False
        if before_step is not None:
            before_step(self.inputs)
        self.image[...] = image
        try:
            self.interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise not_run(self.name, error) from error
        self._require_unmoved()
        self.stepped = True

    def _require_unmoved(self) -> None:
        """Raise BundleError if the interpreter's memory was moved: the arrays here would read what is no longer there.

        That takes an operator whose output has a size that its input decides. All memory moves together, so that one
        tensor speaks for all after the first step.
        """
        if any(_address(self.interpreter, spec, self.name) != address for spec, address in self._watched):
            self.usable = False
            raise BundleError(_changes(self.name))
        self._watched = self._watched[:1]


def _changes(name: str) -> str:
    return (
        f"{name}: the sizes of its tensors change while it runs, which a stream program does not support. Use a "
        "stream program that cliplab convert wrote."
    )


def _address(interpreter: Any, spec: TensorSpec, name: str) -> int:
    """Where a tensor's memory is. BundleError if it has none before the program runs."""
    try:
        return int(interpreter.tensor(spec.index)().__array_interface__["data"][0])
    except (ValueError, RuntimeError) as error:
        raise BundleError(_changes(name)) from error


def _memory(interpreter: Any, spec: TensorSpec, name: str) -> Array:
    """A tensor's memory as an array that does not keep the interpreter alive.

    LiteRT refuses to run while an array from ``tensor()`` exists, and making eighty of them again takes as long as a
    fiftieth of a step. Memory of a program of fixed shapes stays where it is once its tensors are allocated.
    """
    address = _address(interpreter, spec, name)
    size = math.prod(spec.shape) * spec.dtype.itemsize
    memory: Any = (ctypes.c_char * size).from_address(address)
    return np.ndarray(spec.shape, spec.dtype, memory)
