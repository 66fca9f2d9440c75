"""MLflow beside the registry: runs with parameters and figures, the files of versions, and aliases for environments.

MLflow is imported inside functions, since that takes seconds; commands that only read do without it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.errors import MissingExtraError, StorageError
from adapters.system import cache_dir, file_digest, json_text
from cliplab.registry.location import NO_TRACKING, TRACKING_NAME, Place, is_uri
from cliplab.registry.records import StoredVersion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow import MlflowClient

# MLflow sends usage statistics unless this is set before it is imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

_ARTIFACTS = "model"
_VERSION_TAG = "cliplab.version"
_SHA_TAG = "cliplab.sha256"
_LONGEST_PARAMETER = 500


def keep_run(place: Place, facts: StoredVersion, file: Path) -> tuple[str, str]:
    """Log a version as a run of MLflow, with its file.

    Args:
        place: The registry's folder and settings.
        facts: The version.
        file: Its file.

    Returns:
        The path of the file below the registry's folder, or its URI; and the run.

    Raises:
        StorageError: MLflow cannot store it.
    """
    with _client(place) as client:
        run = client.create_run(_experiment(place, client, facts.name), run_name=facts.full_name)
        run_id = run.info.run_id
        for key, value in _parameters(facts).items():
            client.log_param(run_id, key, str(value)[:_LONGEST_PARAMETER])
        for key, value in facts.metrics.items():
            client.log_metric(run_id, key, value)
        for tag, text in ((_VERSION_TAG, facts.version), (_SHA_TAG, facts.sha256)):
            client.set_tag(run_id, tag, text)
        client.log_artifact(run_id, str(file), _ARTIFACTS)
        if facts.evaluation is not None:
            client.log_text(run_id, json_text(dict(facts.evaluation)), "evaluation.json")
        uri = f"{run.info.artifact_uri}/{_ARTIFACTS}/{file.name}"
        path = _local(uri)
        if path is None:
            return uri, run_id
        _sync(path)
        try:
            return path.relative_to(place.folder).as_posix(), run_id
        except ValueError:  # artifacts of a server that writes to this disk
            return path.as_uri(), run_id


def finish_run(place: Place, stored: StoredVersion) -> None:
    """Enter a stored version in MLflow's own registry and end its run. MLflow follows; the events are the truth.

    Args:
        place: The registry's folder and settings.
        stored: The version.
    """
    if stored.run_id is None:
        return
    try:
        with _client(place) as client:
            _enter(client, stored)
            client.set_terminated(stored.run_id, "FINISHED")
    except StorageError as error:
        logging.getLogger(__name__).warning("%s The version is stored, but it is missing from MLflow's list.", error)


def set_alias(place: Place, stored: StoredVersion, environment: str) -> str | None:
    """Let MLflow's alias of an environment follow, since other tools read it.

    Args:
        place: The registry's folder and settings.
        stored: The version that the environment has.
        environment: The environment.

    Returns:
        Why MLflow does not follow; None where it does, or where there is nothing to follow.
    """
    if place.settings.tracking == NO_TRACKING or stored.run_id is None:
        return None
    try:
        with _client(place) as client:
            number = _enter(client, stored)
            client.set_registered_model_alias(stored.name, environment, number)
    except StorageError as error:
        return f"{error} The promotion is stored, but MLflow's alias was not moved."
    return None


def fetch_artifact(place: Place, stored: StoredVersion) -> Path:
    """The file of a version that MLflow keeps elsewhere, from the cache where it was fetched before.

    Args:
        place: The registry's folder and settings.
        stored: The version.

    Raises:
        StorageError: It cannot be fetched.
    """
    local = _local(stored.file)
    if local is not None:
        return local
    folder = cache_dir() / "registry" / stored.sha256
    path = folder / stored.file.rpartition("/")[2]
    if path.is_file() and file_digest(path) == stored.sha256:
        return path
    with _translated(place):
        from mlflow.artifacts import download_artifacts

        folder.mkdir(parents=True, exist_ok=True)
        download_artifacts(artifact_uri=stored.file, dst_path=str(folder), tracking_uri=tracking_uri(place))
    return path


def tracking_uri(place: Place) -> str:
    """Where MLflow keeps runs, as MLflow takes it.

    Args:
        place: The registry's folder and settings.
    """
    tracking = place.settings.tracking
    return f"sqlite:///{place.folder / TRACKING_NAME}" if tracking == TRACKING_NAME else tracking


@contextmanager
def _client(place: Place) -> Iterator[MlflowClient]:
    with _translated(place):
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise MissingExtraError("mlflow", "registry") from error
        logging.getLogger("alembic").setLevel(logging.WARNING)
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        # Of a server it prints addresses of runs, on the stdout that is ours.
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        uri = tracking_uri(place)
        yield MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextmanager
def _translated(place: Place) -> Iterator[None]:
    try:
        yield
    except (MissingExtraError, StorageError):
        raise
    except ModuleNotFoundError as error:  # MLflow imports the client of a storage when it is used
        raise StorageError(
            f"{place.settings.artifacts}: {error.name} is not installed and files there need it. Install it with: pip "
            f"install {error.name}"
        ) from error
    except Exception as error:  # MLflow raises its own errors, and those of its database and of its storage
        where = tracking_uri(place)
        shown = where.rpartition("@")[2] if "@" in where else where
        line = str(error).strip().partition("\n")[0][:300]
        raise StorageError(
            f"MLflow at {shown}: {type(error).__name__}: {line}. Check the address and rights, and try again."
        ) from error


def _experiment(place: Place, client: MlflowClient, name: str) -> str:
    title = f"cliplab/{name}"
    found = client.get_experiment_by_name(title)
    if found is not None:
        return str(found.experiment_id)
    artifacts = place.settings.artifacts
    location: str | None = f"{artifacts}/{name}"
    if "://" not in artifacts:
        # A server of MLflow decides where files are; what is in this folder would be on this machine only.
        location = None if place.settings.is_shared else f"{(place.folder / artifacts).as_uri()}/{name}"
    try:
        return str(client.create_experiment(title, artifact_location=location))
    except Exception:
        found = client.get_experiment_by_name(title)  # another upload of this model was faster
        if found is None:
            raise
        return str(found.experiment_id)


def _enter(client: MlflowClient, stored: StoredVersion) -> str:
    """The number that MLflow gave to a version; entered where it lacks it."""
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(stored.name)
    except MlflowException:
        try:
            client.create_registered_model(stored.name)
        except MlflowException:
            client.get_registered_model(stored.name)  # another one was faster
    for item in client.search_model_versions(f"name='{stored.name}'"):
        if item.run_id == stored.run_id:
            return str(item.version)
    run = client.get_run(stored.run_id or "")
    made = client.create_model_version(
        stored.name,
        f"{run.info.artifact_uri}/{_ARTIFACTS}",
        stored.run_id,
        tags={_VERSION_TAG: stored.version, _SHA_TAG: stored.sha256},
        description=stored.description,
    )
    return str(made.version)


def _parameters(facts: StoredVersion) -> Mapping[str, Any]:
    size = facts.interface["input"]
    return {
        "name": facts.name,
        "version": facts.version,
        "adapter": facts.interface["adapter"],
        "input": f"{size['height']}x{size['width']}",
        "classes": len(facts.interface["labels"]),
        "format": facts.format,
        "size_bytes": facts.size_bytes,
        **{key: value for key, value in facts.lineage.items() if isinstance(value, str)},
    }


def _local(uri: str) -> Path | None:
    """The path of a file: URI or plain path; None for storage elsewhere."""
    from urllib.parse import unquote, urlsplit

    if not is_uri(uri):
        return Path(uri)
    parts = urlsplit(uri)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _sync(path: Path) -> None:
    """Write MLflow's copy through to the disk, before an event refers to it."""
    try:
        for place in (path, path.parent):
            handle = os.open(place, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
    except OSError as error:
        if path.is_file():  # a file system without fsync of folders
            return
        raise StorageError(f"{path}: MLflow did not write it ({error.strerror})") from error
