"""The versions of a registry that the Models page lists beside the models of the folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.errors import AdapterError, MissingExtraError
from cliplab.studio.fleet import opened, reason_of

if TYPE_CHECKING:
    from cliplab.studio.context import Studio

MOST_READ = 500  # the latest uploads that are looked through


@dataclass(frozen=True)
class RegistryVersion:
    """A version of a registry as the page shows it.

    Attributes:
        model: The model's name.
        version: Such as "1.2.0".
        environments: The environments whose current version it is.
        uploaded: The day and minute of its upload, UTC.
        uploaded_by: Who uploaded it.
        description: What that person said of it.
        size_bytes: The size of its file.
        metrics: Its figures by name.
        file_name: What a copy of it in the folder of models is called.
    """

    model: str
    version: str
    environments: tuple[str, ...]
    uploaded: str
    uploaded_by: str
    description: str
    size_bytes: int
    metrics: Mapping[str, float]
    file_name: str


def read_registry_versions(studio: Studio, words: str = "", most: int = 50) -> tuple[list[RegistryVersion], str]:
    """The latest versions of the studio's registry, the newest first.

    Args:
        studio: The studio.
        words: A part of the model's name, in any capitals.
        most: Maximum number of versions.

    Returns:
        The versions, and why a registry that was named cannot be read; "" where it can, and where none was named.
    """
    from cliplab.registry.records import StoredVersion

    named = studio.options.registry is not None or bool(os.environ.get("CLIPLAB_REGISTRY"))
    try:
        with opened(studio) as registry:
            found = [StoredVersion.of(event) for event in registry.history(kinds=("upload",), last=MOST_READ)]
            placed = registry.placements()
    except (MissingExtraError, ModuleNotFoundError):
        return [], "The registry's versions need its extra: pip install '.[registry]'." if named else ""
    except AdapterError as error:
        return [], f"The registry's versions cannot be listed: {reason_of(error)}." if named else ""
    rows = [
        RegistryVersion(
            model=one.name,
            version=one.version,
            environments=tuple(p.environment for p in placed if (p.name, p.version) == (one.name, one.version)),
            uploaded=one.uploaded_at[:16].replace("T", " "),
            uploaded_by=one.uploaded_by,
            description=one.description,
            size_bytes=one.size_bytes,
            metrics=one.metrics,
            file_name=one.full_name if one.format == "bundle" else one.file_name,
        )
        for one in reversed(found)
        if words.casefold() in one.name.casefold()
    ]
    return rows[:most], ""
