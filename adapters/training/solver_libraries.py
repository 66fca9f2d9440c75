"""The packages that solving a head needs, and how many threads of their matrix libraries it takes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

from adapters.errors import MissingExtraError

_NUMBERS_PER_THREAD = 10_000_000


def require_solver() -> None:
    """MissingExtraError where a package is missing that solving, cross-validation or the report needs."""
    from importlib.util import find_spec

    packages = {
        "scipy": "scipy",
        "threadpoolctl": "threadpoolctl",
        "matplotlib": "matplotlib",
    }
    for module, package in packages.items():
        if find_spec(module) is None:
            raise MissingExtraError(package, "learn", "training a head")


def threads_for(numbers: int) -> AbstractContextManager[object]:
    """One thread for small matrices: several would wait for each other longer than they compute.

    Args:
        numbers: How many numbers the matrix has.
    """
    if numbers >= _NUMBERS_PER_THREAD:
        return nullcontext()
    return one_thread()


def one_thread() -> AbstractContextManager[object]:
    """One thread per matrix product, for as long as the context lasts."""
    limit: AbstractContextManager[object] = _blas().limit(limits=1, user_api="blas")
    return limit


@cache
def _blas() -> Any:
    """The matrix libraries of this process. To look for them takes as long as to solve a small head."""
    import scipy.linalg  # noqa: F401  # brings its own
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
