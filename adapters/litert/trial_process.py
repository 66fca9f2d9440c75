"""The process in which an unknown program runs for the first time: it may crash, hang or take too much memory.

``adapters.litert.trial`` starts this file by its path, with the program on stdin and the limits as arguments, so that
little is imported. It prints {"ready": true} once it has begun, and then {"error": null or the reason}.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import Any


def try_program(model: bytes, threads: int, input_shape: list[int] | None = None) -> None:
    """Open a program, run it once on zeros, and run each signature without inputs.

    Args:
        model: The bytes of the .tflite.
        threads: The interpreter's threads.
        input_shape: What the only input is resized to; None for its own shape.

    Raises:
        ValueError: LiteRT refuses the program.
        RuntimeError: Likewise.
    """
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=threads)
    if input_shape:
        interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], input_shape)
    interpreter.allocate_tensors()
    for item in interpreter.get_input_details():
        if item["dtype"] in (np.str_, np.bytes_, np.object_):
            return  # text has no zero; a program that takes it is refused by those who run it
        interpreter.set_tensor(item["index"], np.zeros(item["shape"], item["dtype"]))
    interpreter.invoke()
    for item in interpreter.get_output_details():
        interpreter.get_tensor(item["index"])
    for name, tensors in interpreter.get_signature_list().items():
        runner = interpreter.get_signature_runner(name)
        runner.get_input_details(), runner.get_output_details()
        if not tensors["inputs"]:
            runner()


def limit_process(memory_bytes: int, cpu_seconds: int) -> None:
    """Limit the memory beyond what the process has now, and its time. Systems without such limits go on without."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        used_seconds = int(resource.getrusage(resource.RUSAGE_SELF).ru_utime) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (used_seconds + cpu_seconds,) * 2)
        with open("/proc/self/statm", encoding="ascii") as file:
            used_bytes = int(file.read().split()[5]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, (used_bytes + memory_bytes,) * 2)


def main(arguments: list[str]) -> None:
    """Try the program on stdin.

    Args:
        arguments: Threads, bytes of memory, seconds of CPU time, and the sizes of the input if it is resized.
    """
    threads, memory_bytes, cpu_seconds, *input_shape = map(int, arguments)
    answer: dict[str, Any] = {"error": None}
    import ai_edge_litert.interpreter  # noqa: F401  # before the limits, which are for the program

    print(json.dumps({"ready": True}), flush=True)
    model = sys.stdin.buffer.read()
    limit_process(memory_bytes, cpu_seconds)
    try:
        try_program(model, threads, input_shape)
    except MemoryError:
        answer["error"] = "it needs more memory than the limit allows"
    except Exception as error:  # whatever it is, the program is not one to run
        answer["error"] = str(error).strip() or type(error).__name__
    print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1:])
