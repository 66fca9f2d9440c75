"""The model that a registry has promoted to an environment, followed by a worker that is never restarted."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from adapters.base import BaseModelAdapter
from adapters.bundle import render_clip
from adapters.errors import AdapterError
from adapters.inference import open_model
from cliplab.registry.members import PREFIX, registry_model
from cliplab.registry.opening import open_registry

# A worker asks for its model before each piece of a stream: more often than this the registry is not opened.
LOOK_SECONDS = 1.0
# A version that could not be loaded is tried again after this time, since the failure may have been the machine's.
RETRY_SECONDS = 60.0


class PromotedModel:
    """Follows a reference such as ``registry:base-highlight@production``: ``get_named`` returns the model in use."""

    def __init__(
        self,
        reference: str,
        *,
        registry: str | Path | None = None,
        trust_adapters: Sequence[str] = (),
        on_warning: Callable[[str], object] | None = None,
    ) -> None:
        """Nothing is read here: the first ``get_named`` loads, and raises where it cannot.

        Args:
            reference: "base-highlight@production", or what else a registry finds a version by; with or without
                "registry:".
            registry: The registry; see ``open_registry``.
            trust_adapters: As for ``open_model``.
            on_warning: Receives a message, once for each, where the registry or a newly promoted version cannot be
                used; the model before stays in use. None logs it.
        """
        self._reference = reference.removeprefix(PREFIX)
        self._registry, self._trust_adapters = registry, tuple(trust_adapters)
        self._on_warning = on_warning or logging.getLogger(__name__).warning
        self._guard = threading.Lock()
        self._loaded: tuple[str, BaseModelAdapter] | None = None
        self._looked, self._warned = 0.0, ""
        self._failed = ("", 0.0)  # a version, and when it is tried again

    def get_named(self) -> tuple[str, BaseModelAdapter]:
        """The full name of the version in use, to store with its predictions, and its adapter.

        Raises:
            ConfigError: The reference is unknown to the registry.
            StorageError: There is no registry.
            BundleError: The first version cannot be loaded.
        """
        with self._guard:
            now = time.monotonic()
            if self._loaded is not None and now - self._looked < LOOK_SECONDS:
                return self._loaded
            self._looked = now
            try:
                self._follow()
            except Exception as error:
                # Whatever is wrong with the new one, also a fault of its adapter, must not stop a worker with a model.
                if self._loaded is None:
                    raise
                self._warn(error, self._loaded[0])
            assert self._loaded is not None
            return self._loaded

    def _follow(self) -> None:
        with open_registry(self._registry, read_only=True) as opened:
            name = opened.find(self._reference).full_name
        if self._loaded is not None:
            failed, until = self._failed
            if name == self._loaded[0] or (name == failed and time.monotonic() < until):
                return
        self._failed = (name, time.monotonic() + RETRY_SECONDS)
        adapter = open_model(registry_model(name, registry=self._registry), None, self._trust_adapters)
        adapter.predict([render_clip(adapter.input_spec)])
        self._loaded, self._warned, self._failed = (name, adapter), "", ("", 0.0)

    def _warn(self, error: Exception, name: str) -> None:
        text = str(error) if isinstance(error, AdapterError) else f"{type(error).__name__}: {error}"
        message = f"{PREFIX}{self._reference}: {text} {name} stays in use."
        if message != self._warned:
            self._warned = message
            self._on_warning(message)
