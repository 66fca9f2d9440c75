"""Bringing a model of the device to the version that it should have, and back where that one fails."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.errors import StorageError
from cliplab.rollout.device.errors import DeviceError, RefusedModelError, UntrustedError
from cliplab.rollout.device.golden_check import CheckResult
from cliplab.rollout.device.installed import InstalledModel, InstalledVersion, Stamp, file_stamp, free_bytes
from cliplab.rollout.device.loop_counts import ReadLoop
from cliplab.rollout.device.state import DeviceState
from cliplab.rollout.device.telemetry import Telemetry
from cliplab.rollout.device.trust import TrustedRepository
from cliplab.rollout.device.wanted import WantedVersion

Check = Callable[[Path, Mapping[str, Any] | None], CheckResult]
# What stays free of a disk after a download: reports, logs and the system need it.
RESERVE_BYTES = 20_000_000
# A version is taken back after this number of crashes within this time, or of predictions that all failed.
CRASHES, CRASH_SECONDS, FAILED_PREDICTIONS = 3, 600.0, 20
# A check that was killed from outside, as a system short of memory does, is repeated up to this number of attempts.
CHECK_ATTEMPTS = 3


@dataclass(frozen=True)
class UpdateResult:
    """What a round did with one model.

    Attributes:
        version: The version in use after it; None before the first.
        action: "none", "installed", or "refused" (the wanted one is not used).
        message: Why; "" for none.
    """

    version: str | None
    action: str
    message: str = ""


class Updater:
    """Installs, checks and takes back versions.

    Args:
        folder: The folder of all models.
        private: The client's own folder, on the same disk.
        state: Remembers what was refused.
        telemetry: Learns what failed.
        check: Whether a verified file works on this device.
    """

    def __init__(self, folder: Path, private: Path, state: DeviceState, telemetry: Telemetry, check: Check) -> None:
        self._folder, self._downloads = folder, private / "downloads"
        self._state, self._telemetry, self._check = state, telemetry, check
        self._models: dict[str, InstalledModel] = {}

    def installed(self, name: str) -> InstalledModel:
        """A model's folder.

        Args:
            name: The model.
        """
        if name not in self._models:
            self._models[name] = InstalledModel(self._folder, name)
        return self._models[name]

    def repair(self, name: str) -> str | None:
        """Go back where the file in use is damaged; the registry's version is then downloaded again.

        Args:
            name: The model.

        Returns:
            What was done; None for nothing.
        """
        model = self.installed(name)
        current = model.current()
        if current is None or model.seems_whole(current):
            return None
        returned = model.go_back(self._state.trusted_now())
        state = f"{name} {returned.version} is in use again" if returned else "it must be downloaded again"
        return f"{name} {current.version}: its file on this disk is damaged; {state}."

    def after_crashes(self, crashes: list[ReadLoop]) -> list[str]:
        """Take back versions whose loops crash again and again, or whose predictions all fail.

        Args:
            crashes: Loops whose crash was not seen before.

        Returns:
            What was done, for each version that was taken back.
        """
        now, messages = self._state.trusted_now(), []
        times = self._state.get("crash_times")
        for loop in crashes:
            model = self.installed(loop.model)
            current = model.current()
            if current is not None and loop.version in ("", current.sha256):
                kept = [at for at in times.get(current.sha256, []) if 0 <= now - at <= CRASH_SECONDS]
                times[current.sha256] = [*kept, now][-CRASHES:]
                if len(times[current.sha256]) >= CRASHES:
                    reason = f"{CRASHES} crashes within {CRASH_SECONDS / 60:.0f} minutes"
                    messages += self._take_back(model, current, reason)
        return messages

    def after_failures(self, name: str) -> list[str]:
        """Take back a version whose predictions all fail.

        Args:
            name: The model.
        """
        model = self.installed(name)
        current = model.current()
        if current is None:
            return []
        totals = self._telemetry.totals(name, current.sha256)
        if totals.errors >= FAILED_PREDICTIONS and totals.predictions == 0:
            return self._take_back(model, current, f"all of its {totals.errors} predictions failed")
        return []

    def update(self, repository: TrustedRepository, wanted: WantedVersion) -> UpdateResult:
        """Bring a model to its wanted version.

        Args:
            repository: Its verified metadata.
            wanted: The version.

        Returns:
            What was done.

        Raises:
            UnreachableError: The file cannot be downloaded now.
            UntrustedError: It is not what was signed.
            StorageError: The disk is full, or cannot be written.
        """
        model = self.installed(wanted.model)
        current, previous = model.current(), model.previous()
        now = self._state.trusted_now()
        in_use = current.version if current else None
        self._telemetry.remember_version(wanted.sha256, wanted.version)
        if current is not None and current.sha256 == wanted.sha256 and model.seems_whole(current):
            if current.version == wanted.version:
                return UpdateResult(in_use, "none")
            model.rename(wanted.version)
            return UpdateResult(wanted.version, "none", f"{wanted.model} {wanted.version}: is the file of {in_use}.")
        refused = self._state.get("refused").get(wanted.sha256)
        if refused is not None:
            return UpdateResult(in_use, "refused", f"{wanted.model} {wanted.version}: {refused}")
        if previous is not None and previous.sha256 == wanted.sha256 and model.swap(now) is not None:
            return UpdateResult(previous.version, "installed", f"{wanted.model} {wanted.version} is in use again.")
        try:
            path, verified = self._checked_file(repository, wanted)
        except RefusedModelError as error:
            return UpdateResult(in_use, "refused", str(error))
        model.install(path, wanted.version, wanted.sha256, now, verified)
        model.prune()
        return UpdateResult(wanted.version, "installed", f"{wanted.model} {wanted.version} is in use.")

    def clean(self, wanted: list[WantedVersion]) -> None:
        """Remove what stopped downloads left of versions that are no longer wanted.

        Args:
            wanted: The versions that are.
        """
        kept = {item.sha256 for item in wanted}
        for path in self._downloads.glob("*"):
            if path.name.partition(".")[0] not in kept:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _checked_file(self, repository: TrustedRepository, wanted: WantedVersion) -> tuple[Path, Stamp | None]:
        """The wanted file, verified and checked, under a name of its own, and its stamp when it was verified."""
        if wanted.format != "tflite":
            raise RefusedModelError(
                f"{wanted.model} {wanted.version}: is a {wanted.format}, but a device runs a .tflite. Convert it "
                "(cliplab convert) and upload that."
            )
        info = repository.info(wanted.target)
        if info is None or info.hashes.get("sha256") != wanted.sha256:
            raise UntrustedError(
                f"{wanted.target}: the registry's documents and its signed list of files differ. The version is not "
                "used."
            )
        part, whole = (self._downloads / f"{wanted.sha256}{suffix}" for suffix in (".part", ".tflite"))
        if whole.exists():  # a stopped round left it; nothing is believed of what lies on the disk
            whole.replace(part)
        held = part.stat().st_size if part.exists() else 0
        free = free_bytes(self._folder)
        if free < info.length - held + RESERVE_BYTES:
            raise StorageError(
                f"{self._folder}: {free // 1_000_000} MB are free; {wanted.model} {wanted.version} needs "
                f"{(info.length - held) // 1_000_000 + 1} MB, and {RESERVE_BYTES // 1_000_000} MB must stay free. "
                "Free some space; the version in use stays."
            )
        repository.download(info, part)
        verified = file_stamp(part)
        part.replace(whole)
        self._require_good(whole, wanted)
        return whole, verified

    def _require_good(self, path: Path, wanted: WantedVersion) -> None:
        """Check a file, and remember a failure: the same bytes are not tried again."""
        attempts = self._state.get("attempts")
        try:
            result = self._check(path, wanted.golden)
        except DeviceError as error:
            attempts[wanted.sha256] = attempts.get(wanted.sha256, 0) + 1
            if attempts[wanted.sha256] < CHECK_ATTEMPTS:
                raise
            result = CheckResult(False, str(error))
        attempts.pop(wanted.sha256, None)
        if result.passed:
            return
        self._telemetry.note(wanted.model, wanted.sha256, golden_failures=1)
        reason = f"does not work on this device and is not used: {result.message}"
        self._state.get("refused")[wanted.sha256] = reason
        with contextlib.suppress(OSError):
            path.unlink()
        raise RefusedModelError(f"{wanted.model} {wanted.version}: {reason}")

    def _take_back(self, model: InstalledModel, current: InstalledVersion, reason: str) -> list[str]:
        if model.previous() is None:
            return [f"{model.name} {current.version}: {reason}, and there is no earlier version to roll back to."]
        # Remembered first: a kill in between must not install it again.
        self._state.get("refused")[current.sha256] = f"was rolled back on this device: {reason}"
        self._state.save()
        returned = model.go_back(self._state.trusted_now())
        if returned is None:
            return [f"{model.name} {current.version}: {reason}, and the version before it is damaged."]
        model.prune()
        return [f"{model.name} {current.version}: {reason}; {returned.version} is in use again."]
