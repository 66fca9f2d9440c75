"""The environment of processes that tests start."""

from __future__ import annotations

import os

from places import ROOT, SUPPORT

PYTHONPATH = f"{ROOT}{os.pathsep}{SUPPORT}"


def environment(**variables: str | None) -> dict[str, str]:
    """This process's variables, with the checkout and the helpers on PYTHONPATH.

    variables: what else to set; None removes one.
    """
    changed = {**os.environ, "PYTHONPATH": PYTHONPATH, **variables}
    return {name: value for name, value in changed.items() if value is not None}
