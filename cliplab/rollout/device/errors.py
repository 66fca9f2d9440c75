"""What can go wrong on a device on purpose. In each case the model in use stays in use."""

from __future__ import annotations

from adapters.errors import AdapterError


class DeviceError(AdapterError):
    """The device cannot do what was asked; its current model is unchanged."""


class UnreachableError(DeviceError):
    """The registry does not answer, or answers too slowly or with an error: try again later.

    Attributes:
        status: The HTTP status of the answer; None without one.
        retry_seconds: How long the registry asks to wait; None where it does not say.
    """

    def __init__(self, message: str, status: int | None = None, retry_seconds: float | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_seconds = status, retry_seconds


class TooLongError(UnreachableError):
    """The registry sent more than is read here."""


class UntrustedError(DeviceError):
    """What the registry sent is not what its keys have signed, is older than what was seen, or has expired."""


class RefusedModelError(DeviceError):
    """A model that is signed and whole and does not work on this device."""
