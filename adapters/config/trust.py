"""Which code a model may name. A model is data: it names code that is installed here, and brings none.

``"adapter"`` in a config or a saved model names one of the built-in adapters, or one that an installed package
registers as an entry point of the group ``cliplab.adapters``. Any other name is refused before anything is imported,
unless the person who opens the model trusts it by name.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import re
import sys
import threading
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from adapters.config.migration import current_adapter_name
from adapters.errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import Distribution

ENTRY_POINTS = "cliplab.adapters"
# By their names in configs, and by those that an adapter makes of its own class.
BUILT_IN_ADAPTERS = frozenset(
    f"{module}:{cls}"
    for package, cls in (
        ("adapters.models.efficientnet_lite", "EfficientNetLiteAdapter"),
        ("adapters.models.mobilenet", "MobileNetAdapter"),
        ("adapters.models.resnet18", "ResNet18Adapter"),
        ("adapters.models.temporal", "TemporalAdapter"),
        ("adapters.models.ensemble", "EnsembleAdapter"),
        ("adapters.models.tflite_classifier", "TfliteClassifierAdapter"),
        ("adapters.models.prompt_pair", "PromptPairAdapter"),
        ("movinet_adapter", "MoViNetAdapter"),
    )
    for module in (package, f"{package}.adapter")
)
# The folder that holds our packages: adapters, movinet_adapter, configs.
PACKAGES = Path(__file__).resolve().parents[2]

_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_trusted: ContextVar[frozenset[str]] = ContextVar("trusted adapters", default=frozenset())
_import_lock = threading.RLock()
_found: dict[str, Distribution] = {}  # packages that register an adapter, by its name


@contextlib.contextmanager
def trusting(adapters: Iterable[str]) -> Iterator[None]:
    """Within the block, models that this thread opens may also name these adapters.

    Args:
        adapters: "module:Class" each, as ``"adapter"`` in a config names it.

    Raises:
        ConfigError: A name does not have this form.
    """
    names = (adapters,) if isinstance(adapters, str) else tuple(adapters)
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigError(
                f'an adapter to trust is named "module:Class", such as my_package.model:MyAdapter, got {name!r}'
            )
    token = _trusted.set(_trusted.get() | {current_adapter_name(name) for name in names})
    try:
        yield
    finally:
        _trusted.reset(token)


def trusted_adapters() -> tuple[str, ...]:
    """The adapters that the present block trusts by name, for work that continues after it."""
    return tuple(sorted(_trusted.get()))


def require_trusted(name: Any, where: str = "config") -> None:
    """Refuse an adapter that is neither built in, nor registered by an installed package, nor trusted here.

    Nothing is imported.

    Args:
        name: The config's "adapter".
        where: The name of the config, for messages.

    Raises:
        ConfigError: The adapter is not trusted.
    """
    name = current_adapter_name(name)
    if not isinstance(name, str):
        raise ConfigError(f'{where}: "adapter" must be text of the form "module:Class", got {name!r:.200}')
    if name in BUILT_IN_ADAPTERS or name in _trusted.get() or _registered(name) is not None:
        return
    raise ConfigError(
        f'{where}: "adapter" names {name!r:.200}, which is neither a built-in adapter nor registered by an installed '
        f"package (an entry point of the group {ENTRY_POINTS}), so its code is not run. If you know it and trust it: "
        f"--trust-adapter {name}, or trust_adapters=({name!r},) in Python"
    )


def import_trusted(name: str, where: str = "config") -> ModuleType:
    """Import the module of an adapter that ``require_trusted`` allows.

    Args:
        name: The config's "adapter", in its present form.
        where: The name of the config, for messages.

    Raises:
        ConfigError: The adapter is not trusted, or another module hides that of a built-in adapter.
        ImportError: The module cannot be imported.
    """
    require_trusted(name, where)
    module = name.partition(":")[0]
    if name in BUILT_IN_ADAPTERS:
        return _import_built_in(module)
    distribution = None if name in _trusted.get() else _registered(name)
    if distribution is None:
        return importlib.import_module(module)
    with _without_current_folder(distribution):
        return importlib.import_module(module)


def _import_built_in(module: str) -> ModuleType:
    """One of our own modules, from beside this package; a file of the same name elsewhere on the path is ignored."""
    top = module.partition(".")[0]
    home = PACKAGES / top / "__init__.py"
    with _import_lock:
        found = sys.modules.get(top)
        if found is None and home.is_file():
            spec = importlib.util.spec_from_file_location(top, home, submodule_search_locations=[str(home.parent)])
            assert spec is not None
            assert spec.loader is not None
            found = sys.modules[top] = importlib.util.module_from_spec(spec)
            try:
                spec.loader.exec_module(found)
            except BaseException:
                sys.modules.pop(top, None)
                raise
        own = getattr(found, "__file__", None)
        if found is not None and (own is None or Path(own).resolve() != home):
            raise ConfigError(
                f"the module {top} was imported from {own}, but the adapter is in {home.parent}. "
                "Rename the other module, or start Python in a folder where it does not come first"
            )
    return importlib.import_module(module)


def _registered(name: str) -> Distribution | None:
    """The installed package that registers an adapter; None where there is none."""
    if name in _found:
        return _found[name]
    from importlib.metadata import distributions

    for distribution in distributions(path=installed_paths()):
        with contextlib.suppress(Exception):  # metadata of another package that is damaged
            for point in distribution.entry_points:
                if point.group == ENTRY_POINTS and f"{point.module}:{point.attr}" == name:
                    return _found.setdefault(name, distribution)
    return None


def installed_paths() -> list[str]:
    """The folders where installed packages are looked for: the import path without the current folder."""
    here = Path.cwd()
    return [entry for entry in sys.path if entry and os.path.isabs(entry) and not _is_folder(entry, here)]


def _is_folder(entry: str, folder: Path) -> bool:
    return Path(entry) == folder or os.path.realpath(entry) == os.path.realpath(folder)


@contextlib.contextmanager
def _without_current_folder(distribution: Distribution) -> Iterator[None]:
    """Keep the current folder off the import path while a registered adapter is imported, unless the package itself is
    installed from there in editable mode."""
    here = Path.cwd()
    about = distribution.read_text("direct_url.json") or ""
    if f'"{here.as_uri()}"' in about:
        yield
        return
    with _import_lock:
        before = list(sys.path)
        sys.path[:] = [entry for entry in before if entry and not _is_folder(entry, here)]
        try:
            yield
        finally:
            sys.path[:] = [*before, *(entry for entry in sys.path if entry not in before)]
