"""LiteRT programs, run on every core. No TensorFlow.

A program has one fixed input shape. ``Program.run`` takes any number of items, cuts them into batches of the program's
size and spreads them over a pool of interpreters with one thread each: that keeps cores busier than one interpreter
with many threads, whose threads wait for each other at every layer. A batch that is alone while the cores are free is
computed by an interpreter with several threads, which answers sooner.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.errors import BundleError, ConfigError
from adapters.litert import graph as litert_graph
from adapters.litert.interpreter import (
    allocate,
    not_run,
    open_interpreter,
    outputs_by_name,
    quantization_of,
    read_program,
    single_input,
)
from adapters.records import Precision

Array = npt.NDArray[Any]
Float32Array = npt.NDArray[np.float32]

# The most threads that compute one batch together. Two threads are 1.5 times as fast as one for MoViNet A0
# (benchmarks/bench_movinet.py); each more waits longer for the others, at every one of some thousand operators.
THREADS_TOGETHER = 4
# The interpreter for a batch that is alone holds a copy of the weights, and is closed where calls with several batches
# come: at the first one, and where it was wanted again, after this many times more of them in a row.
_MORE_PATIENCE = 8


def available_cores() -> int:
    """The cores that this process may use: its CPU affinity where the system reports it, otherwise all cores."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_count(num_threads: int | None) -> int:
    """The number of threads that a config's ``num_threads`` means.

    Args:
        num_threads: At least 1; None for every available core.

    Raises:
        ConfigError: num_threads is less than 1 or not a whole number.
    """
    wanted = available_cores() if num_threads is None else num_threads
    if not isinstance(wanted, int) or wanted < 1:
        raise ConfigError(f"num_threads is {num_threads!r} and must be a whole number of at least 1, or null for all")
    return wanted


class Program:
    """A .tflite with one input of float32, ready to run; safe to call from several threads at once.

    An input or output of 8 bits is accepted where ``quantized`` is set: items and results are float32 all the same.

    Each interpreter holds a packed copy of the weights. There are at most as many interpreters as threads, and one more
    for each THREADS_TOGETHER of them.

    Attributes:
        name: What messages call it.
        num_threads: Maximum number of cores it uses, over all concurrent calls.
        model_bytes: The file's bytes.
        size_bytes: The file's size.
        input_shape: The shape of the program's input, batch first.
        batch_size: The first entry of ``input_shape``.
        output_shapes: The shapes of the outputs by name, batch first.
    """

    def __init__(
        self,
        model: Path | str | bytes,
        num_threads: int | None = None,
        name: str | None = None,
        *,
        quantized: bool = False,
        input_shape: tuple[int, ...] | None = None,
    ) -> None:
        """Read the file and open a first interpreter.

        Args:
            model: A path, or the file's bytes.
            num_threads: Maximum number of cores to use; None for all.
            name: What messages call it; default: the path.
            quantized: Whether an input and outputs of 8 bits are accepted; they are converted from and to float32.
            input_shape: What the input is resized to, for a program that leaves it open; None for its own.

        Raises:
            BundleError: The file is missing or damaged, or its input is not one float32 tensor.
            ConfigError: num_threads is less than 1.
        """
        self.name = name or ("the given program" if isinstance(model, bytes) else str(model))
        self.num_threads = thread_count(num_threads)
        self.model_bytes = model if isinstance(model, bytes) else read_program(Path(model), self.name)
        self.size_bytes = len(self.model_bytes)
        self._together = min(self.num_threads, THREADS_TOGETHER)
        self._cores = threading.Condition()
        self._free, self._waiting = self.num_threads, 0
        self._helpers: ThreadPoolExecutor | None = None
        self._resize, self._without_alone, self._patience = input_shape, 0, 1
        # The first one says what the tensors are, and packs the weights when it is needed: where frames come in batches
        # those of one thread compute, and it never is. Shapes that are known only then are those of other programs.
        known = input_shape is None and not quantized
        first = open_interpreter(self.model_bytes, self.name, self._together, input_shape, not known)
        self._unallocated = first if known else None
        self._idle: dict[int, list[Any]] = {1: [], self._together: [first]}  # by their threads
        self._input, self.input_shape = single_input(first, self.name, quantized)
        self._quantization = quantization_of(first.get_input_details()[0])
        self._dequantize = quantized
        self.batch_size = self.input_shape[0]
        if self.batch_size < 1:
            raise BundleError(f"{self.name} takes {list(self.input_shape)}, an empty batch. Convert it again.")
        self._outputs = outputs_by_name(first)
        self.output_shapes = {key: tuple(int(size) for size in item["shape"]) for key, item in self._outputs.items()}
        self._check_outputs()

    @cached_property
    def precision(self) -> Precision:
        """``float32``, ``float16``, ``dynamic`` or ``int8``, read from the types of the file's tensors."""
        return litert_graph.precision(self.model_bytes, self.name)

    def run(self, batch: Float32Array) -> dict[str, Array]:
        """Run the program over items.

        A last batch that is not full is filled with zeros, whose results are dropped.

        Args:
            batch: float32 [N, ...], N of any size, the rest as in ``input_shape``.

        Returns:
            Each output by name, [N, ...] in the order of the items.

        Raises:
            BundleError: The items have another shape or type than the program's input.
        """
        self._check_batch(batch)
        results = {
            key: np.empty((len(batch), *self.output_shapes[key][1:]), item["dtype"])
            for key, item in self._outputs.items()
        }
        if self._quantization is not None:
            batch = self._quantization.quantize(batch)
        starts = deque(range(0, len(batch), self.batch_size))
        alone = len(starts) == 1
        if not alone and self._together > 1:
            self._close_unused()

        def work() -> None:
            while (start := _next(starts)) is not None:
                try:
                    self._run_chunk(batch, start, results, alone)
                except BaseException:
                    starts.clear()  # after a failure nothing more begins
                    raise

        self._spread(work, min(self.num_threads, len(starts)))
        return {key: self._numbers(key, value) for key, value in results.items()} if self._dequantize else results

    def _close_unused(self) -> None:
        """Close the interpreter of several threads where only calls with several batches come."""
        with self._cores:
            self._without_alone += 1
            packed = [one for one in self._idle[self._together] if one is not self._unallocated]
            if self._without_alone >= self._patience and packed:
                self._idle[self._together] = [one for one in self._idle[self._together] if one is self._unallocated]
                self._patience *= _MORE_PATIENCE

    def _numbers(self, key: str, values: Array) -> Array:
        """An output as float32, whatever the program computes it in."""
        quantization = quantization_of(self._outputs[key])
        return values.astype(np.float32) if quantization is None else quantization.dequantize(values)

    def __repr__(self) -> str:
        return f"Program({self.name!r}, input {list(self.input_shape)}, outputs {self.output_shapes})"

    def _spread(self, work: Any, workers: int) -> None:
        """Run ``work`` in this thread and in helpers beside it, and wait for those that began."""
        begun = [self._pool().submit(work) for _ in range(workers - 1)]
        try:
            work()
        finally:
            # A helper that could not begin, since other calls keep all threads busy, is not needed any more.
            for helper in begun:
                if not helper.cancel():
                    helper.result()

    def _run_chunk(self, batch: Array, start: int, results: dict[str, Array], alone: bool) -> None:
        chunk = batch[start : start + self.batch_size]
        with self._interpreter(alone) as interpreter:
            # tensor() gives views into the interpreter's memory: one copy in, one copy out. They may not outlive this.
            target = interpreter.tensor(self._input)()
            target[: len(chunk)] = chunk
            target[len(chunk) :] = 0 if self._quantization is None else self._quantization.zero_point
            del target
            try:
                interpreter.invoke()
                for key, item in self._outputs.items():
                    results[key][start : start + len(chunk)] = interpreter.tensor(item["index"])()[: len(chunk)]
            except (RuntimeError, ValueError) as error:
                raise not_run(self.name, error) from error

    @contextmanager
    def _interpreter(self, alone: bool) -> Iterator[Any]:
        """An interpreter that no other caller uses: of several threads where a chunk is ``alone`` and no one waits for
        their cores, else of one."""
        with self._cores:
            self._waiting += 1
            try:
                self._cores.wait_for(lambda: self._free > 0)
            finally:
                self._waiting -= 1
            together = alone and not self._waiting and self._free >= self._together
            threads = self._together if together else 1
            self._without_alone = 0 if together else self._without_alone
            self._free -= threads
            idle = self._idle[threads]
            interpreter = idle.pop() if idle else None
        try:
            if interpreter is None:
                interpreter = open_interpreter(self.model_bytes, self.name, threads, self._resize, True, True)
            elif interpreter is self._unallocated:
                allocate(interpreter, self.name)
                self._unallocated = None
            yield interpreter
        finally:
            with self._cores:
                self._free += threads
                if interpreter is not None:
                    self._idle[threads].append(interpreter)
                self._cores.notify(threads)

    def _pool(self) -> ThreadPoolExecutor:
        with self._cores:
            if self._helpers is None:
                self._helpers = ThreadPoolExecutor(max(1, self.num_threads - 1), thread_name_prefix="litert")
            return self._helpers

    def _check_batch(self, batch: Float32Array) -> None:
        item = self.input_shape[1:]
        if not isinstance(batch, np.ndarray) or batch.dtype != np.float32 or batch.shape[1:] != item or not batch.ndim:
            received = f"{batch.dtype} {list(batch.shape)}" if isinstance(batch, np.ndarray) else type(batch).__name__
            raise BundleError(
                f"{self.name} takes float32 [N, {', '.join(map(str, item))}] but received {received}. Preprocess to "
                "that size, or make a program for another size with cliplab convert."
            )

    def _check_outputs(self) -> None:
        for key, shape in self.output_shapes.items():
            if not shape or shape[0] != self.batch_size:
                raise BundleError(
                    f"{self.name}: output {key!r} is {list(shape)} and does not have one row for each of the "
                    f"{self.batch_size} items of a batch. Use a program that convert wrote."
                )


def _next(starts: deque[int]) -> int | None:
    try:
        return starts.popleft()
    except IndexError:  # another thread took the last
        return None
