"""The entry point of the Dataloop app. ``dataloop.json`` names this file and its class ``ModelAdapter``.

Dataloop's runner checks out the codebase, loads this file by its path, and makes one ``ModelAdapter(model_entity)`` for
each model. It then calls dtlpy's methods on it: ``predict_items``, ``train_model``, ``evaluate_model`` and
``embed_items``. This file ensures that the packages of the checkout are the ones that are imported; the class is in
``dataloop/model_adapter.py``. In an environment where cliplab is installed, import it from
``adapters.hosts.dataloop_host``.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

try:
    import dtlpy  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "dtlpy":
        raise
    # As MissingExtraError says it, which cannot be imported before prefer_checkout.
    install = "Install it with: pip install dtlpy"
    raise ImportError(f"dtlpy is not installed, but the Dataloop app needs it. {install}") from error

ROOT = Path(__file__).resolve().parents[2]
# Packages of the checkout; ``adapters`` is also the name of an unrelated one on PyPI.
OWN_PACKAGES = ("adapters", "configs", "movinet_adapter")


def _is_ours(name: str) -> bool:
    module = sys.modules.get(name)
    spec = importlib.util.find_spec(name) if module is None else module.__spec__
    return spec is not None and spec.origin is not None and Path(spec.origin).resolve() == ROOT / name / "__init__.py"


def prefer_checkout() -> None:
    """Put the checkout first in ``sys.path``, so that its packages are imported.

    dtlpy's runner puts the codebase at the end of ``sys.path``, behind every installed package of the same name.

    Raises:
        ImportError: Another package of the same name has been imported.
    """
    if all(map(_is_ours, OWN_PACKAGES)):
        return
    sys.path[:] = [str(ROOT), *(entry for entry in sys.path if entry != str(ROOT))]
    importlib.invalidate_caches()
    for name in OWN_PACKAGES:
        if not _is_ours(name):
            found = getattr(sys.modules.get(name), "__file__", None) or "nowhere"
            raise ImportError(
                f"the package {name!r} of this app is at {ROOT / name}, but {found} was imported instead. Uninstall "
                f"the other one (pip uninstall {name}), or do not import it before this app"
            )


prefer_checkout()

from adapters.hosts.dataloop.model_adapter import ModelAdapter  # noqa: E402

__all__ = ["ModelAdapter"]
