"""The model adapter of the Dataloop app: dtlpy's methods, each by the adapter that the model's configuration names."""

from __future__ import annotations

import copy
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import dtlpy as dl

from adapters.errors import AdapterError
from adapters.hosts.dataloop import items as dataloop_items
from adapters.hosts.dataloop.annotations import annotate
from adapters.hosts.dataloop.evaluation import evaluate_dataset
from adapters.hosts.dataloop.metrics import publish_metrics
from adapters.hosts.dataloop.platform_model import PlatformModel
from adapters.hosts.dataloop.results import describe_failure, raise_failures, upload_all
from adapters.hosts.dataloop.training import convert_download, download_items, mark_failed, train_on_download

logger = logging.getLogger("cliplab.dataloop")
F = TypeVar("F", bound=Callable[..., Any])


def _keep_dtlpy_description(function: Callable[..., Any]) -> Callable[[F], F]:
    """Keep the description that dtlpy's decorator gave to the method that is overridden."""

    def describe(method: F) -> F:
        method.__dtlpy__ = copy.deepcopy(function.__dtlpy__)  # type: ignore[attr-defined]
        return method

    return describe


@dl.Package.decorators.module(
    name="cliplab", description="Video and frame classification", init_inputs={"model_entity": dl.Model}
)
class ModelAdapter(PlatformModel):
    """A model of the app, on which dtlpy's runner calls the methods of its base class.

    The model's configuration is copied and checked with our schema, and never written: the settings that dtlpy's base
    class stores in it go into a copy. Only training writes to the model: its labels and ``id_to_label_map``, in the
    order of the trained head.

    The methods override those of ``dl.BaseModelAdapter``. Arguments and results that are not described have dtlpy's
    meaning.

    Args:
        model_entity: The model on the platform; None to load one later with ``load_from_model``.
    """

    @property
    def _top_k(self) -> int:
        """Labels per window: only the best for dtlpymetrics, which compares each of them with a person's label."""
        config = self.loaded_adapter.config
        return 1 if self._evaluating and config["task"] == "single_label" else int(config["top_k"])

    # Predict ----------------------------------------------------------------------------------------------------------

    def prepare_item_func(self, item: dl.Item) -> dl.Item:
        """Return the item unchanged: ``predict`` downloads it, since an error raised here would end the whole call."""
        return item

    def predict(self, batch: Sequence[dl.Item], **kwargs: Any) -> list[dl.AnnotationCollection]:
        """Predict items.

        Args:
            batch: The items.
            **kwargs: Ignored.

        Returns:
            Annotations of each item, in order.

        Raises:
            AdapterError: Items failed, with the reason of each. It is raised after all items are done.
        """
        adapter, found = self.loaded_adapter, []
        failures: dict[str, str] = {}
        for result in dataloop_items.predict_items(adapter, batch):
            if result.error is not None:
                failures[result.item.id] = describe_failure(result.item, result.error)
            found.append(annotate(result, self._top_k, self.model_entity))
        raise_failures(failures, len(batch), "predicted")
        return found

    @_keep_dtlpy_description(dl.BaseModelAdapter.predict_items)
    def predict_items(
        self, items: Sequence[dl.Item], batch_size: int | None = None, **kwargs: Any
    ) -> tuple[Sequence[dl.Item], list[dl.Annotation]]:
        """Predict items and upload their annotations. Downloads, prediction and uploads run at the same time.

        Args:
            items: The items.
            batch_size: Not used: clips of all items are batched by the configuration's ``batch_size``.
            **kwargs: ``progress``, the platform's progress, which is updated after each item.

        Returns:
            The items, and all uploaded annotations.

        Raises:
            AdapterError: Items failed, with the reason of each. It is raised after the others are annotated.
        """
        results = dataloop_items.predict_items(self.loaded_adapter, items)
        uploaded, failures = upload_all(results, self._upload, len(items), kwargs.get("progress"))
        raise_failures(failures, len(items), "annotated")
        return items, uploaded

    def _upload(self, result: dataloop_items.ItemResult) -> dl.AnnotationCollection:
        item, found = result.item, annotate(result, self._top_k, self.model_entity)
        self._update_predictions_metadata(item, found)
        try:
            stored = self._upload_model_annotations(item, found)
        except TypeError as error:  # dtlpy logs that a batch was refused, and treats the traceback as its annotations
            raise AdapterError("the platform refused its annotations; dtlpy's log has the response") from error
        if len(stored) != len(found):  # dtlpy drops refused batches if there are several
            raise AdapterError(f"the platform accepted {len(stored)} of its {len(found)} annotations; see dtlpy's log")
        return stored

    # Embed ------------------------------------------------------------------------------------------------------------

    def embed(self, batch: Sequence[dl.Item], failures: dict[str, str] | None = None) -> list[list[float] | None]:
        """Compute the features of items.

        Args:
            batch: The items.
            failures: Receives the reason of each failed item by the item's id; None to raise an error.

        Returns:
            The features of each item, in order; None for a failed item.

        Raises:
            AdapterError: Items failed and ``failures`` is None.
        """
        found, own = [], failures if failures is not None else {}
        for item, vector, reason in dataloop_items.embed_items(self.loaded_adapter, batch):
            found.append(None if vector is None else [float(value) for value in vector])
            if vector is None:
                own[item.id] = describe_failure(item, reason)
        if failures is None:
            raise_failures(own, len(batch), "embedded")
        return found

    @_keep_dtlpy_description(dl.BaseModelAdapter.embed_items)
    def embed_items(
        self,
        items: Sequence[dl.Item],
        upload_features: bool | None = None,
        batch_size: int | None = None,
        progress: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Compute the features of items and upload them as a feature set.

        dtlpy skips vectors whose length differs from ``embeddings_size``, so it is set to the model's.

        Raises:
            AdapterError: Items failed, with the reason of each. It is raised after the others are uploaded.
        """
        self.configuration["embeddings_size"] = int(self.loaded_adapter.embed([]).shape[1])
        failures: dict[str, str] = {}
        result = super().embed_items(items, upload_features, max(len(items), 1), progress, failures=failures, **kwargs)
        raise_failures(failures, len(items), "embedded")
        return result

    # Train ------------------------------------------------------------------------------------------------------------

    def prepare_data(
        self,
        dataset: dl.Dataset,
        root_path: str | None = None,
        data_path: str | None = None,
        output_path: str | None = None,
        overwrite: bool = True,
        **kwargs: Any,
    ) -> tuple[str, str, str]:
        """Download and convert the training data.

        Unlike dtlpy's tmp/<model> below the working directory, whose old files a reused runner would train on, the
        default is a new temporary folder. Paths given by the configuration or the caller are kept.
        """
        if root_path in (None, os.path.join("tmp", self.model_entity.id)):
            root_path = self.configuration.get("root_path")
        if root_path is None:
            self._work = tempfile.TemporaryDirectory(prefix="dataloop_training_", ignore_cleanup_errors=True)
            root_path = self._work.name
        paths: tuple[str, str, str] = super().prepare_data(
            dataset, root_path, data_path, output_path, overwrite=overwrite, **kwargs
        )
        return paths

    # Overrides dtlpy's private method, which prepare_data calls by its mangled name.
    def _BaseModelAdapter__download_items(
        self,
        dataset: dl.Dataset,
        filters: Any,
        local_path: str,
        annotation_options: Any,
        annotation_filters: Any = None,
    ) -> list[str]:
        return download_items(dataset, filters, Path(local_path), annotation_filters)

    def convert_from_dtlpy(self, data_path: str, **kwargs: Any) -> None:
        """Write the downloaded items/ and json/ of each subset as ``data_path/dataset.jsonl``.

        Raises:
            DatasetError: The download cannot be read, or items lost their labels; see ``convert_download``.
        """
        convert_download(Path(data_path))

    def train(self, data_path: str, output_path: str, **kwargs: Any) -> None:
        """Train on the dataset that ``convert_from_dtlpy`` wrote, and write the best epoch's bundle.

        Args:
            data_path: Folder with ``dataset.jsonl``.
            output_path: Folder for the bundle.
            **kwargs: ``on_epoch_end_callback(epoch, epochs)``, called after each epoch, whose loss and accuracy are
                published as plots.

        Raises:
            AdapterError: The training failed; see ``train_on_download``.
        """
        self._training = True
        on_epoch_end = kwargs.get("on_epoch_end_callback") or (lambda *_: None)
        train_on_download(self.loaded_adapter, self.model_entity, Path(data_path), Path(output_path), on_epoch_end)
        self._trained_in = Path(output_path).resolve()
        self._training = False

    @_keep_dtlpy_description(dl.BaseModelAdapter.train_model)
    def train_model(
        self, model: dl.Model, cleanup: bool = False, progress: Any = None, context: Any = None
    ) -> dl.Model:
        """Download the model's dataset, train, and save the model. The runner's entry point for training.

        If it fails, the model's status becomes "failed"; dtlpy alone leaves it at "training".
        """
        if isinstance(model, dict):
            model = dl.models.get(model_id=model["id"])
        self._training = False
        try:
            return super().train_model(model=model, cleanup=cleanup, progress=progress, context=context)
        except BaseException:
            current = self._model_entity if self._model_entity is not None else model
            mark_failed(current if current.id == model.id else model)
            raise
        finally:
            self._training, self._work = False, None

    # Evaluate ---------------------------------------------------------------------------------------------------------

    @_keep_dtlpy_description(dl.BaseModelAdapter.evaluate_model)
    def evaluate_model(self, *args: Any, **kwargs: Any) -> Any:
        """Predict the items of a dataset, then ``evaluate``. The runner's entry point for evaluation.

        A single-label model uploads only its best label meanwhile.
        """
        self._evaluating = True
        try:
            return super().evaluate_model(*args, **kwargs)
        finally:
            self._evaluating = False

    def evaluate(self, model: dl.Model, dataset: dl.Dataset, filters: dl.Filters | dict[str, Any] | None) -> dl.Model:
        """Measure the model on the clips that people labelled, and publish the metrics as plots.

        Afterwards dtlpy computes the platform's own scores from the uploaded annotations with dtlpymetrics.

        Raises:
            DatasetError: Labels are unknown to the model, or no clip can be read.
        """
        metrics = evaluate_dataset(self.loaded_adapter, dataset, filters)
        publish_metrics(model, [("evaluation", name, 0, value) for name, value in metrics.items()], dataset.id)
        logger.info("evaluation of %s on %s: %s", model.name, dataset.name, metrics)
        return super().evaluate(model=model, dataset=dataset, filters=filters)
