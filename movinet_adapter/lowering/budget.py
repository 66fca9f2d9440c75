"""How many layers of a base network a program of one clip computes one frame at a time."""

from __future__ import annotations

from movinet_adapter.architecture import Architecture

# A0 on 16 frames, one thread: 49 ms with no layer by frame, 40 with 4, 33 with 11, 34 with all 15. Conversion takes
# longer with every layer and frame, which is what the limit is for.
BY_FRAME_BUDGET = 256


def layers_by_frame(of: Architecture, n_frames: int) -> int:
    """The layers before the last block, as far as layers times frames stay within ``BY_FRAME_BUDGET``.

    That is faster while a frame's activations fit into a core's cache and those of all frames do not, and each frame
    adds operators.

    Args:
        of: The architecture.
        n_frames: Frames of a clip.

    Returns:
        How many of the first layers; 0 in stream mode and for single frames.
    """
    if of.mode != "base" or n_frames < 2:
        return 0
    last_block = of.layers[-1].name.partition("_")[0]
    early = sum(not layer.name.startswith(f"{last_block}_") for layer in of.layers)
    return min(early, BY_FRAME_BUDGET // n_frames)
