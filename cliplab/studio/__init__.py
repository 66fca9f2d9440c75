"""The studio: a store of labels, and the web app in which people label, review and manage models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from cliplab.studio.appending import Appended as Appended
    from cliplab.studio.appending import Refused as Refused
    from cliplab.studio.classes import LabelClass as LabelClass
    from cliplab.studio.events import LabelEvent as LabelEvent
    from cliplab.studio.events import event_from_json as event_from_json
    from cliplab.studio.importing import ImportReport as ImportReport
    from cliplab.studio.importing import import_dataset as import_dataset
    from cliplab.studio.importing import import_folder_labels as import_folder_labels
    from cliplab.studio.items import ItemsReport as ItemsReport
    from cliplab.studio.items import fill_items as fill_items
    from cliplab.studio.jobs import Job as Job
    from cliplab.studio.jobs import Jobs as Jobs
    from cliplab.studio.jobs import JobStoppedError as JobStoppedError
    from cliplab.studio.prelabel import PreLabel as PreLabel
    from cliplab.studio.prelabel import PrelabelReport as PrelabelReport
    from cliplab.studio.prelabel import label_auto as label_auto
    from cliplab.studio.queries import ItemFilter as ItemFilter
    from cliplab.studio.queries import ItemRow as ItemRow
    from cliplab.studio.recovery import RecoveryReport as RecoveryReport
    from cliplab.studio.recovery import recover_store as recover_store
    from cliplab.studio.renaming import label_rename as label_rename
    from cliplab.studio.resolving import Interval as Interval
    from cliplab.studio.resolving import ResolvedLabel as ResolvedLabel
    from cliplab.studio.run import label_launch as label_launch
    from cliplab.studio.run import label_server as label_server
    from cliplab.studio.run import studio as studio
    from cliplab.studio.store import LabelStore as LabelStore
    from cliplab.studio.store import open_store as open_store
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "appending": ("Appended", "Refused"),
            "classes": ("LabelClass",),
            "events": ("LabelEvent", "event_from_json"),
            "importing": ("ImportReport", "import_dataset", "import_folder_labels"),
            "items": ("ItemsReport", "fill_items"),
            "jobs": ("Job", "JobStoppedError", "Jobs"),
            "prelabel": ("PreLabel", "PrelabelReport", "label_auto"),
            "queries": ("ItemFilter", "ItemRow"),
            "recovery": ("RecoveryReport", "recover_store"),
            "renaming": ("label_rename",),
            "resolving": ("Interval", "ResolvedLabel"),
            "run": ("label_launch", "label_server", "studio"),
            "store": ("LabelStore", "open_store"),
        },
    )
