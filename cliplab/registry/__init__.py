"""Which models a folder holds, and which of them its workers use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from cliplab.registry.current_model import CurrentModel as CurrentModel
    from cliplab.registry.manifest import ListedModel as ListedModel
    from cliplab.registry.manifest import ManifestReport as ManifestReport
    from cliplab.registry.manifest import next_version as next_version
    from cliplab.registry.manifest import registry_manifest as registry_manifest
    from cliplab.registry.manifest_file import MANIFEST_NAME as MANIFEST_NAME
    from cliplab.registry.manifest_file import Manifest as Manifest
    from cliplab.registry.manifest_file import read_manifest as read_manifest
    from cliplab.registry.manifest_metrics import lower_is_better as lower_is_better
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "current_model": ("CurrentModel",),
            "manifest": ("ListedModel", "ManifestReport", "next_version", "registry_manifest"),
            "manifest_file": ("MANIFEST_NAME", "Manifest", "read_manifest"),
            "manifest_metrics": ("lower_is_better",),
        },
    )
