"""A model of the Dataloop app between the platform's artifacts and its adapter: load, save, dtlpy's own settings."""

from __future__ import annotations

import copy
import logging
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import dtlpy as dl

from adapters.base import BaseModelAdapter
from adapters.config import trusting
from adapters.errors import AdapterError, BundleError
from adapters.hosts.dataloop.config import (
    PLATFORM_DEFAULTS,
    find_stored_model,
    open_configured,
    own_config,
    remove_unlisted_files,
)
from adapters.hosts.dataloop.pods import warn_of_memory
from adapters.hosts.dataloop.training import check_uploaded

logger = logging.getLogger("cliplab.dataloop")


class PlatformModel(dl.BaseModelAdapter):  # type: ignore[misc]
    """dtlpy's methods that load and save a model.

    Args:
        model_entity: The model on the platform; None to load one later with ``load_from_model``.

    Attributes:
        adapter: The adapter that the configuration names; None before a model is loaded.
        trust_adapters: Adapters of other packages that configurations and artifacts may name, "module:Class" each. Set
            it in a subclass; packages that register their adapters as entry points need no entry here.
    """

    trust_adapters: ClassVar[tuple[str, ...]] = ()

    def __init__(self, model_entity: dl.Model | None = None) -> None:
        self.adapter: BaseModelAdapter | None = None
        self._files: tempfile.TemporaryDirectory[str] | None = None
        self._work: tempfile.TemporaryDirectory[str] | None = None
        self._downloaded = self._training = self._evaluating = False
        self._trained_in: Path | None = None
        self._saved: dict[str, int] = {}  # the last saved bundle's files and their sizes
        super().__init__(model_entity=model_entity)

    @property
    def loaded_adapter(self) -> BaseModelAdapter:
        """The adapter of the loaded model.

        Raises:
            AdapterError: No model is loaded.
        """
        if self.adapter is None:
            raise AdapterError("no model is loaded. Call load_from_model with a model, or give one to ModelAdapter")
        return self.adapter

    def load_from_model(
        self,
        model_entity: dl.Model | None = None,
        local_path: str | None = None,
        overwrite: bool = True,
        **kwargs: Any,
    ) -> None:
        """Download the model's artifacts and load them.

        The default of ``local_path`` is a new temporary folder, since dtlpy's keeps files of earlier downloads.

        Raises:
            AdapterError: An artifact cannot be downloaded.
            ConfigError: The configuration is wrong; see ``load``.
            BundleError: The artifacts are damaged; see ``load``.
        """
        files = None
        if local_path is None:
            files = tempfile.TemporaryDirectory(prefix="dataloop_model_", ignore_cleanup_errors=True)
            local_path = files.name
        self._downloaded = False
        entity = model_entity if model_entity is not None else self.model_entity
        given = entity.configuration
        # dtlpy writes each of its keys that is missing, and pushes the configuration to the platform each time.
        entity.configuration = {**PLATFORM_DEFAULTS, **(given or {})}
        try:
            super().load_from_model(model_entity=model_entity, local_path=local_path, overwrite=overwrite, **kwargs)
        except TypeError as error:
            if self._downloaded:
                raise
            # dtlpy logs a failed download and continues with None as the path of its file.
            raise AdapterError(
                f"an artifact of model {self.model_entity.name!r} cannot be downloaded: dtlpy's log says which and "
                "why. Try again; if it is gone from the platform, train again or upload the bundle"
            ) from error
        finally:
            entity.configuration = given  # dtlpy's settings are a copy by now
        self._files = files  # the model reads its programs from there; the previous folder is removed

    def load(self, local_path: str, **kwargs: Any) -> None:
        """Open the adapter that the configuration names.

        Args:
            local_path: Folder with the model's artifacts; if it is empty, the configuration's initial weights are used.
            **kwargs: Ignored.

        Raises:
            AdapterError: The model must be converted first, and the pod's memory is far too small for it.
            ConfigError: Keys of the configuration are wrong or contradict the artifacts.
            BundleError: A file is damaged or not part of a model, or a trained model has no artifacts.
        """
        self._downloaded = True
        self._detach_settings()
        folder = Path(local_path)
        name = self.model_entity.name
        remove_unlisted_files(folder)
        with trusting(self.trust_adapters):
            config = own_config(self.model_entity.configuration, f"configuration of model {name!r}")
            given = dict(self.model_entity.configuration or {})
            self.adapter = self.model = open_configured(config, folder, f"artifacts of model {name!r}", given)
        if self.model_entity.status == dl.ModelStatus.TRAINED and find_stored_model(folder) is None:
            raise BundleError(
                f"artifacts of model {name!r}: there are none, although its status is trained. It would predict with "
                "the "
                "weights that training starts from. Train it again, upload its bundle, or set its status to pre-trained"
            )
        warn_of_memory(self.loaded_adapter, name)
        self._trained_in = None

    def save(self, local_path: str, **kwargs: Any) -> None:
        """Write the bundle into a folder, unless training has just written it there."""
        if self._trained_in != Path(local_path).resolve():
            self.loaded_adapter.save(local_path)
        folder = Path(local_path)
        self._saved = {p.relative_to(folder).as_posix(): p.stat().st_size for p in folder.rglob("*") if p.is_file()}

    def save_to_model(self, local_path: str | None = None, cleanup: bool = False, **kwargs: Any) -> None:
        """Save the model and upload its files.

        dtlpy also calls it after a failed training; nothing is saved then.

        Raises:
            AdapterError: A file is missing on the platform after the upload, which dtlpy only logs.
        """
        if self._training:
            logger.warning("training failed, so nothing is saved to the model")
            return
        super().save_to_model(local_path=local_path, cleanup=cleanup, **kwargs)
        check_uploaded(self.model_entity, self._saved)

    def _detach_settings(self) -> None:
        """Let dtlpy's base class store its defaults, paths and sizes in a copy. Its ``configuration.get(key, default)``
        writes the default into the model and pushes it to the platform."""
        settings = self.adapter_defaults
        if settings is not None:
            settings._backing_dict = copy.deepcopy(dict(settings._backing_dict))
            settings._base_model_adapter = None
