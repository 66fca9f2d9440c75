"""Why a registry's answer is not believed, in words that say what to do."""

from __future__ import annotations

from datetime import UTC, datetime

from cliplab.rollout.device.connection import RegistryConnection
from cliplab.rollout.device.errors import UnreachableError, UntrustedError
from cliplab.rollout.device.state import DeviceState
from cliplab.rollout.device.workflow import tuf_errors

_FAR_SECONDS = 24 * 3600.0


def refusal(error: Exception, connection: RegistryConnection, state: DeviceState) -> str:
    """Why metadata are refused, and what to do.

    Args:
        error: Of python-tuf.
        connection: To the registry that sent them.
        state: The device's, which says what time it is.
    """
    if isinstance(error, tuf_errors.BadVersionNumberError):
        return older_state(connection.url, str(error))
    if isinstance(error, tuf_errors.ExpiredMetadataError):
        return _expired(error, connection, state)
    return (
        f"{connection.url}: sent metadata without valid signatures of its keys ({error}). The model in use stays; the "
        "received data are not used."
    )


def older_state(url: str, what: str) -> str:
    """Why metadata are refused that are older than what was seen.

    Args:
        url: The registry.
        what: The versions.
    """
    return (
        f"{url}: presents an older state than this device has seen ({what}): either the registry was restored from a "
        "backup, or this is a rollback attack. The model in use stays. After a restore, run on the registry: cliplab "
        "registry publish --recover --reason TEXT"
    )


def download_problem(url: str, error: Exception) -> UnreachableError | UntrustedError:
    """The error of a download that python-tuf made.

    Args:
        url: The registry.
        error: Of python-tuf.
    """
    if isinstance(error, tuf_errors.DownloadLengthMismatchError):
        return UntrustedError(f"{url}: sent more than was signed or is allowed ({error}). It is not used.")
    status = getattr(error, "status_code", None)
    cause = error.__cause__
    return cause if isinstance(cause, UnreachableError) else UnreachableError(f"{url}: {error}", status)


def _expired(error: Exception, connection: RegistryConnection, state: DeviceState) -> str:
    now, server = state.trusted_now(), connection.server_time
    text = (
        f"{connection.url}: its metadata have expired ({error}; the time here is "
        f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M} UTC). The model in use stays. "
    )
    if server is not None and abs(server - now) > _FAR_SECONDS:
        return text + (
            f"The registry's clock says {datetime.fromtimestamp(server, UTC):%Y-%m-%d %H:%M} UTC: set the clock of "
            "this device (timedatectl set-ntp true), or that of the registry."
        )
    return text + "Renew them on the registry; if they are already new there, somebody may be blocking updates."
