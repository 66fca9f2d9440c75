"""MoViNet a0 to a5, base and stream: networks, weights and adapter.

Importing this costs nothing: TensorFlow is imported only inside the functions that compute with it.
"""

from movinet_adapter.adapter import MoViNetAdapter

__all__ = ["MoViNetAdapter"]
