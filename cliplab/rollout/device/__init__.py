"""The client on a device: follows a registry's signed versions, and reports. Core packages and tuf alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from cliplab.rollout.device.client import DeviceClient as DeviceClient
    from cliplab.rollout.device.client import DeviceOptions as DeviceOptions
    from cliplab.rollout.device.client import Round as Round
    from cliplab.rollout.device.device_model import DeviceModel as DeviceModel
    from cliplab.rollout.device.errors import DeviceError as DeviceError
    from cliplab.rollout.device.errors import UnreachableError as UnreachableError
    from cliplab.rollout.device.errors import UntrustedError as UntrustedError
    from cliplab.rollout.device.examples import HardExamples as HardExamples
    from cliplab.rollout.device.golden_check import CheckResult as CheckResult
    from cliplab.rollout.device.run import device_run as device_run
    from cliplab.rollout.device.run import device_status as device_status
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "client": ("DeviceClient", "DeviceOptions", "Round"),
            "device_model": ("DeviceModel",),
            "errors": ("DeviceError", "UnreachableError", "UntrustedError"),
            "examples": ("HardExamples",),
            "golden_check": ("CheckResult",),
            "run": ("device_run", "device_status"),
        },
    )
