"""A new model predicts its golden clip in this process of its own: ``python golden_process.py MODEL < GOLDEN``.

It reads a golden as the registry publishes it, or null, and writes one line of JSON, {"passed": bool, "message": str}.
A model that ends the process has failed, too.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np


def check(model: str, golden: dict[str, Any] | None) -> tuple[bool, str]:
    """Check one model.

    Args:
        model: A self-describing .tflite.
        golden: {"variant": which rendering, "scores": one per label, "labels", "precision", "tolerance": the largest
            difference of a score}; None where the registry has none: then its scores must only be finite.

    Returns:
        Whether it may be used, and why.
    """
    from adapters.bundle import Golden, check_golden, render_clip
    from adapters.errors import AdapterError
    from adapters.inference import open_model

    try:
        adapter = open_model(model, {"num_threads": 1})
        if golden is None:
            [prediction] = adapter.predict([render_clip(adapter.input_spec)])
            passed = bool(np.isfinite(prediction.scores).all())
            return passed, "it runs; no golden scores are published with it" if passed else "its scores are not finite"
        precision = str(golden["precision"])
        reference = Golden(
            render_clip(adapter.input_spec, int(golden["variant"])),
            np.asarray(golden["scores"], np.float32),
            tuple(golden["labels"]),
            {precision: float(golden["tolerance"])},
            int(golden["variant"]),
        )
        return True, f"golden clip: largest difference {check_golden(reference, adapter.predict, precision):.6f}"
    except AdapterError as error:
        return False, str(error)
    except (KeyError, TypeError, ValueError) as error:
        return False, f"its golden scores have a format that this version does not know ({error})"


if __name__ == "__main__":
    result = check(sys.argv[1], json.load(sys.stdin))
    print(json.dumps({"passed": result[0], "message": result[1]}), flush=True)
