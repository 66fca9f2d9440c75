"""What a fleet of devices asks a registry for, over HTTP: signed files, and a place for reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from cliplab.rollout.serving.devices import KnownDevice as KnownDevice
    from cliplab.rollout.serving.devices import add_device as add_device
    from cliplab.rollout.serving.devices import list_devices as list_devices
    from cliplab.rollout.serving.devices import remove_device as remove_device
    from cliplab.rollout.serving.fleet import registry_device_add as registry_device_add
    from cliplab.rollout.serving.fleet import registry_device_list as registry_device_list
    from cliplab.rollout.serving.fleet import registry_device_remove as registry_device_remove
    from cliplab.rollout.serving.fleet import registry_serve as registry_serve
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "devices": ("KnownDevice", "add_device", "list_devices", "remove_device"),
            "fleet": ("registry_device_add", "registry_device_list", "registry_device_remove", "registry_serve"),
        },
    )
