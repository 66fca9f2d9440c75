"""Which layers of a MoViNet compute in 8 bits.

Rounding a layer's activations costs most where many layers follow, and where a layer halves the frame: its shortcut is
projected, so that nothing goes around it. A depthwise convolution in 8 bits is no faster than in float32 on x86, since
it waits for memory and its input must be rounded first. So the expansions and projections of the other layers are
computed in 8 bits, and the sum along the shortcuts, gates, means and states stay float32. docs/movinet_lowering.md has
the figures.
"""

from __future__ import annotations

import re

from movinet_adapter.architecture import Architecture

EARLY_BLOCKS = ("block0_", "block1_")
_LAYER = re.compile(r"block\d+_layer\d+")


def computes_in_8_bits(of: Architecture, name: str) -> bool:
    """Whether a pointwise convolution computes in 8 bits.

    Args:
        of: The architecture.
        name: The name of its output; each layer is computed in a name scope.
    """
    found = _LAYER.search(name)
    layer = next((layer for layer in of.layers if found and layer.name == found[0]), None)
    return layer is not None and not layer.has_skip_projection and not layer.name.startswith(EARLY_BLOCKS)
