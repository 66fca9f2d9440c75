"""Which models a folder holds, and which of them its workers use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from cliplab.registry.manifest import ManifestReport as ManifestReport
    from cliplab.registry.manifest import registry_manifest as registry_manifest

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "manifest": ("ManifestReport", "registry_manifest"),
    },
)
