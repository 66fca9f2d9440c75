"""The process in which an unknown ONNX file runs for the first time, as ``adapters/litert/trial_process.py``.

It reads the file on stdin and prints {"ready": true} once it has begun, and then {"error": null or the reason}.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import Any


def zeros_for(inputs: Any, sizes: list[int]) -> dict[str, Any]:
    """Zeros for each input.

    Args:
        inputs: What the session says of its inputs.
        sizes: What open dimensions behind the batch are.
    """
    import numpy as np

    kinds = {
        "tensor(float)": np.float32,
        "tensor(int64)": np.int64,
        "tensor(int32)": np.int32,
        "tensor(bool)": np.bool_,
    }
    feeds = dict[str, Any]()
    for item in inputs:
        if item.type not in kinds:
            raise ValueError(f"its input {item.name} is {item.type}; float, int64, int32 and bool are supported")
        shape = [size if isinstance(size, int) and size > 0 else 0 for size in item.shape]
        fill = [1, *sizes]
        shape = [size or (fill[place] if place < len(fill) else 1) for place, size in enumerate(shape)]
        feeds[item.name] = np.zeros(shape, kinds[item.type])
    return feeds


def main(arguments: list[str]) -> None:
    """Try the network on stdin.

    Args:
        arguments: Threads, bytes of memory, seconds of CPU time, and the sizes of open dimensions.
    """
    threads, memory_bytes, cpu_seconds, *sizes = map(int, arguments)
    answer: dict[str, Any] = {"error": None}
    import onnxruntime

    from adapters.litert import limit_process

    print(json.dumps({"ready": True}), flush=True)
    model = sys.stdin.buffer.read()
    limit_process(memory_bytes, cpu_seconds)
    try:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 4
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        session.run(None, zeros_for(session.get_inputs(), sizes))
    except MemoryError:
        answer["error"] = "it needs more memory than the limit allows"
    except Exception as error:  # whatever it is, the network is not one to run
        answer["error"] = str(error).strip() or type(error).__name__
    print(json.dumps(answer))


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        main(sys.argv[1:])
