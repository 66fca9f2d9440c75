"""Versions of models: which ones workers and devices use, their history, and signatures for downloads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from cliplab.registry.administration import InitReport as InitReport
    from cliplab.registry.administration import registry_init as registry_init
    from cliplab.registry.administration import registry_keys as registry_keys
    from cliplab.registry.administration import registry_publish as registry_publish
    from cliplab.registry.administration import registry_rotate as registry_rotate
    from cliplab.registry.current_model import CurrentModel as CurrentModel
    from cliplab.registry.events import ConflictError as ConflictError
    from cliplab.registry.events import Event as Event
    from cliplab.registry.exporting import FolderReport as FolderReport
    from cliplab.registry.exporting import registry_export as registry_export
    from cliplab.registry.exporting import registry_from_folder as registry_from_folder
    from cliplab.registry.exporting import registry_to_folder as registry_to_folder
    from cliplab.registry.listing import Lineage as Lineage
    from cliplab.registry.listing import ListedVersion as ListedVersion
    from cliplab.registry.listing import VersionComparison as VersionComparison
    from cliplab.registry.listing import registry_compare as registry_compare
    from cliplab.registry.listing import registry_download as registry_download
    from cliplab.registry.listing import registry_history as registry_history
    from cliplab.registry.listing import registry_lineage as registry_lineage
    from cliplab.registry.listing import registry_list as registry_list
    from cliplab.registry.listing import registry_show as registry_show
    from cliplab.registry.location import Settings as Settings
    from cliplab.registry.manifest import ListedModel as ListedModel
    from cliplab.registry.manifest import ManifestReport as ManifestReport
    from cliplab.registry.manifest import next_version as next_version
    from cliplab.registry.manifest import registry_manifest as registry_manifest
    from cliplab.registry.manifest_file import MANIFEST_NAME as MANIFEST_NAME
    from cliplab.registry.manifest_file import Manifest as Manifest
    from cliplab.registry.manifest_file import read_manifest as read_manifest
    from cliplab.registry.manifest_metrics import lower_is_better as lower_is_better
    from cliplab.registry.members import named_in_registry as named_in_registry
    from cliplab.registry.members import registry_model as registry_model
    from cliplab.registry.names import ENVIRONMENTS as ENVIRONMENTS
    from cliplab.registry.names import parse_reference as parse_reference
    from cliplab.registry.opening import open_registry as open_registry
    from cliplab.registry.promoted_model import PromotedModel as PromotedModel
    from cliplab.registry.promotion import Check as Check
    from cliplab.registry.promotion import PromotionRefusedError as PromotionRefusedError
    from cliplab.registry.promotion import PromotionReport as PromotionReport
    from cliplab.registry.promotion import check_version as check_version
    from cliplab.registry.promotion import registry_promote as registry_promote
    from cliplab.registry.promotion import registry_rollback as registry_rollback
    from cliplab.registry.publishing import PublishReport as PublishReport
    from cliplab.registry.publishing import publish as publish
    from cliplab.registry.records import Placement as Placement
    from cliplab.registry.records import StoredVersion as StoredVersion
    from cliplab.registry.signing import KeysReport as KeysReport
    from cliplab.registry.signing import has_keys as has_keys
    from cliplab.registry.signing import init_keys as init_keys
    from cliplab.registry.signing import rotate_keys as rotate_keys
    from cliplab.registry.signing import show_keys as show_keys
    from cliplab.registry.store import Registry as Registry
    from cliplab.registry.uploading import UploadReport as UploadReport
    from cliplab.registry.uploading import registry_upload as registry_upload
    from cliplab.registry.uploading import unpack_bundle as unpack_bundle
    from cliplab.registry.zoo import ZooEntry as ZooEntry
    from cliplab.registry.zoo import registry_zoo as registry_zoo
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "administration": (
                "InitReport",
                "registry_init",
                "registry_keys",
                "registry_publish",
                "registry_rotate",
            ),
            "current_model": ("CurrentModel",),
            "events": (
                "ConflictError",
                "Event",
            ),
            "exporting": (
                "FolderReport",
                "registry_export",
                "registry_from_folder",
                "registry_to_folder",
            ),
            "listing": (
                "Lineage",
                "ListedVersion",
                "VersionComparison",
                "registry_compare",
                "registry_download",
                "registry_history",
                "registry_lineage",
                "registry_list",
                "registry_show",
            ),
            "location": ("Settings",),
            "manifest": (
                "ListedModel",
                "ManifestReport",
                "next_version",
                "registry_manifest",
            ),
            "manifest_file": (
                "MANIFEST_NAME",
                "Manifest",
                "read_manifest",
            ),
            "manifest_metrics": ("lower_is_better",),
            "members": (
                "named_in_registry",
                "registry_model",
            ),
            "names": (
                "ENVIRONMENTS",
                "parse_reference",
            ),
            "opening": ("open_registry",),
            "promoted_model": ("PromotedModel",),
            "promotion": (
                "Check",
                "PromotionRefusedError",
                "PromotionReport",
                "check_version",
                "registry_promote",
                "registry_rollback",
            ),
            "publishing": (
                "PublishReport",
                "publish",
            ),
            "records": (
                "Placement",
                "StoredVersion",
            ),
            "signing": (
                "KeysReport",
                "has_keys",
                "init_keys",
                "rotate_keys",
                "show_keys",
            ),
            "store": ("Registry",),
            "uploading": (
                "UploadReport",
                "registry_upload",
                "unpack_bundle",
            ),
            "zoo": (
                "ZooEntry",
                "registry_zoo",
            ),
        },
    )
