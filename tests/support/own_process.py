"""A check in a process of its own, for those after which TensorFlow keeps gigabytes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context


def in_own_process(check: Callable[..., None], *arguments: object) -> None:
    """Call a function of a module; what it raises is raised here."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(check, *arguments).result()
