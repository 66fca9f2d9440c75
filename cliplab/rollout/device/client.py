"""The client on a device: keeps its models at the versions that the registry signs, and reports how they do."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapters.errors import AdapterError, ConfigError, StorageError
from adapters.system import file_lock
from cliplab.rollout.assignment import assigned
from cliplab.rollout.device.connection import RegistryConnection
from cliplab.rollout.device.errors import DeviceError, UnreachableError
from cliplab.rollout.device.examples import examples_of, send_examples
from cliplab.rollout.device.golden_check import check_model
from cliplab.rollout.device.installed import PRIVATE, model_folders
from cliplab.rollout.device.report_queue import ReportQueue
from cliplab.rollout.device.state import DeviceState
from cliplab.rollout.device.telemetry import Telemetry
from cliplab.rollout.device.trust import TrustedRepository
from cliplab.rollout.device.updating import Check, Updater, UpdateResult
from cliplab.rollout.device.wanted import Assigned, wanted_versions

POLL_SECONDS, MAX_WAIT_SECONDS = 60.0, 3600.0
# Without a network a report is made this often, so that days of them fit on the disk.
OFFLINE_REPORT_SECONDS = 3600.0
CLOCK_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class DeviceOptions:
    """How a device is called, what it follows, and how often it asks.

    Attributes:
        name: The device's name: 1 to 64 of A-Z a-z 0-9 . _ -.
        registry: The registry's address.
        models: The folder of models.
        environment: The environment whose versions it installs outside a rollout.
        only: Only these models; empty for all of the environment.
        token: The device's token; None for none.
        root: The registry's root.json, brought here by another way; None trusts that of the first contact.
        poll_seconds: Time between two rounds; each waits a random part less, so that a fleet spreads.
        ca: PEM file of the certificates that may sign the registry's, for https; None for those of the system.

    Raises:
        ConfigError: A value is not allowed.
    """

    name: str
    registry: str
    models: Path
    environment: str = "production"
    only: tuple[str, ...] = ()
    token: str | None = None
    root: Path | None = None
    poll_seconds: float = POLL_SECONDS
    ca: Path | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.poll_seconds <= 24 * 3600:
            raise ConfigError(
                f"poll_seconds is {self.poll_seconds:g}; it must be 1 to 86400, such as --poll-seconds 60"
            )


@dataclass(frozen=True)
class Round:
    """What one round found and did.

    Attributes:
        device: The device's name.
        reachable: Whether the registry answered and was believed.
        models: Version in use, action and message by model.
        reports_sent: Reports that the registry took.
        reports_waiting: Reports that wait.
        examples_sent: Hard examples that the registry took.
        problems: What went wrong, in sentences; empty where all is well.
        warnings: What a person should know.
        retry_seconds: How long the registry asks to wait; None where it does not say.
    """

    device: str
    reachable: bool
    models: Mapping[str, UpdateResult]
    reports_sent: int
    reports_waiting: int
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    retry_seconds: float | None = None
    examples_sent: int = 0

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "device": self.device,
            "reachable": self.reachable,
            "models": {
                name: {"version": item.version, "action": item.action, "message": item.message}
                for name, item in self.models.items()
            },
            "reports_sent": self.reports_sent,
            "reports_waiting": self.reports_waiting,
            "examples_sent": self.examples_sent,
            "problems": list(self.problems),
            "warnings": list(self.warnings),
        }


@dataclass
class _Work:
    """A round in progress."""

    models: dict[str, UpdateResult] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    reachable: bool = False
    sent: int = 0
    examples: int = 0
    retry_seconds: float | None = None


class DeviceClient:
    """One device.

    Args:
        options: Its name, registry and folder.
        check: Whether a verified file works here; the default predicts its golden clip in another process.
        assigned: Whether a device is in a rollout's part of the fleet.
        machine: What distinguishes this machine; None to read it from the system.

    Raises:
        DeviceError: Another client uses the folder, or its state is damaged.
        ConfigError: A name or address is not allowed.
    """

    def __init__(
        self,
        options: DeviceOptions,
        *,
        check: Check = check_model,
        assigned: Assigned = assigned,
        machine: str | None = None,
    ) -> None:
        self.options = options
        private = options.models / PRIVATE
        self._connection = RegistryConnection(options.registry, options.token, ca=options.ca)
        private.mkdir(parents=True, exist_ok=True)
        self._state = DeviceState(private, options.name, machine)
        self._warnings: list[str] = list(self._state.notices)
        self._queue = ReportQueue(private / "reports")
        if self._state.sequence == 1 and (lost := self._queue.clear()):
            self._warnings.append(f"{lost} waiting reports of the previous identity are dropped.")
        self._telemetry = Telemetry(private, self._state, self._queue, self._warnings.append)
        self._repository = TrustedRepository(private / "trust", self._connection, self._state)
        self._updater = Updater(options.models, private, self._state, self._telemetry, check)
        self._assigned = assigned
        self._private = private
        self._last_report = float("-inf")
        self._reported: dict[str, str] = {}

    def close(self) -> None:
        """Close the connection, and leave the state to the next client of this folder."""
        self._connection.close()
        with contextlib.suppress(StorageError):  # then the next one leaves out some numbers
            self._state.close()

    def round(self) -> Round:
        """Verify, update, report: once. Nothing that goes wrong changes the models in use.

        Returns:
            What was found and done.
        """
        work = _Work()
        with _noted(work):
            self._watch_models(work)
        with _noted(work):
            self._follow_registry(work)
        with _noted(work):
            self._report(work)
        with _noted(work):
            if work.reachable:
                queue = examples_of(self.options.models)
                work.examples = send_examples(queue, self._connection, self.options.name, self._warnings.append)
        with _noted(work):
            self._state.save_changes()
        for name in model_folders(self.options.models):
            current = self._updater.installed(name).current()
            work.models.setdefault(name, UpdateResult(current.version if current else None, "none"))
        warnings, self._warnings[:] = tuple(self._warnings), []
        return Round(
            self.options.name,
            work.reachable,
            work.models,
            work.sent,
            len(self._queue),
            tuple(dict.fromkeys(work.problems)),
            warnings,
            work.retry_seconds,
            work.examples,
        )

    def run(self, stop: threading.Event, on_round: Callable[[Round], object]) -> None:
        """Repeat rounds until ``stop`` is set, with jitter, and ever more slowly while the registry is away.

        Args:
            stop: Ends the wait and the loop.
            on_round: Called after each round.
        """
        failures = 0
        chance = random.Random()
        while True:
            done = self.round()
            on_round(done)
            failures = 0 if done.reachable else failures + 1
            if stop.wait(wait_seconds(self.options.poll_seconds, failures, done.retry_seconds, chance.random())):
                return

    def _watch_models(self, work: _Work) -> None:
        """Look at what is here: damaged files, loops that crash, versions that fail."""
        for name in model_folders(self.options.models):
            repaired = self._updater.repair(name)
            if repaired:
                work.problems.append(repaired)
        self._warnings += self._updater.after_crashes(self._telemetry.crashes())
        for name in model_folders(self.options.models):
            self._warnings += self._updater.after_failures(name)

    def _follow_registry(self, work: _Work) -> None:
        fingerprint = self._repository.trust(self.options.root)
        if fingerprint is not None:
            self._warnings.append(
                f"first contact: the keys of {self.options.registry} are trusted from now on without verification "
                "(root.json has SHA-256 "
                f"{fingerprint}). Compare it on the registry, or give --root FILE on the first run."
            )
        self._repository.refresh()
        work.reachable = True
        behind = self._state.clock_behind_seconds()
        if behind > CLOCK_SECONDS:
            self._warnings.append(
                f"the clock of this device is {behind / 86400:.0f} days behind what the registry has signed; that "
                "time is used instead. Set the clock: timedatectl set-ntp true"
            )
        document = self._repository.document(f"environments/{self.options.environment}.json")
        if document is None:
            raise DeviceError(
                f"{self.options.registry}: has no environment {self.options.environment!r}. Give --environment "
                "production, or promote a version to it."
            )
        rollouts = self._repository.document("rollouts.json")
        wanted = wanted_versions(self.options.name, document, rollouts, self._assigned, self.options.only)
        self._updater.clean(wanted)
        for item in wanted:
            with _noted(work):
                result = self._updater.update(self._repository, item)
                work.models[item.model] = result
                if result.action == "refused":
                    work.problems.append(result.message)

    def _report(self, work: _Work) -> None:
        """Make a report where one is due, and send what waits."""
        now = time.monotonic()
        versions = self._versions()
        # The pace of a device without a network; something that happened is reported in any case.
        pace = self.options.poll_seconds / 2 if work.reachable else OFFLINE_REPORT_SECONDS
        due = now - self._last_report >= pace or versions != self._reported or self._telemetry.has_events
        if due:
            self._telemetry.make(versions, online=work.reachable)
            self._last_report, self._reported = now, versions
        if work.reachable:
            work.sent = self._telemetry.send(self._connection)

    def _versions(self) -> dict[str, str]:
        found = {}
        for name in model_folders(self.options.models):
            current = self._updater.installed(name).current()
            if current is not None:
                found[name] = current.version
                self._telemetry.remember_version(current.sha256, current.version)
        return found


@contextmanager
def only_client(folder: Path) -> Iterator[None]:
    """Be the only client of a folder.

    Args:
        folder: The folder of models.

    Raises:
        DeviceError: Another client uses it.
    """

    def busy(holder: str) -> AdapterError:
        return DeviceError(
            f"{folder}: another client uses this folder ({holder}). Each device has one client; give another --models."
        )

    with file_lock(folder / PRIVATE / "client.lock", busy=busy):
        yield


def wait_seconds(poll_seconds: float, failures: int, asked_seconds: float | None, chance: float) -> float:
    """The time until the next round.

    Args:
        poll_seconds: Between rounds when all is well.
        failures: Rounds without the registry, one after the other; each doubles the wait, up to an hour.
        asked_seconds: What the registry asks for; None for nothing.
        chance: A random number in 0..1. The wait is between 85% and 100% of the time, and from the first failure on
            between 50% and 100%, so that a fleet does not come back all at once.

    Returns:
        Seconds.
    """
    asked = min(asked_seconds or 0.0, MAX_WAIT_SECONDS)
    if not failures:
        return max(poll_seconds * (0.85 + 0.15 * chance), asked)
    whole = min(poll_seconds * 2.0 ** min(failures, 20), max(MAX_WAIT_SECONDS, poll_seconds))
    return max(whole * (0.5 + 0.5 * chance), asked)


@contextmanager
def _noted(work: _Work) -> Iterator[None]:
    """Turn an error into a problem of the round, which goes on."""
    try:
        yield
    except AdapterError as error:
        work.problems.append(str(error))
        if isinstance(error, UnreachableError):
            work.retry_seconds = error.retry_seconds or work.retry_seconds
