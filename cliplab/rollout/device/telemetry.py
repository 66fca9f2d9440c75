"""Reports of a device: made of what loops counted and what happened, stored, then sent until the registry has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from adapters.errors import StorageError
from adapters.system import json_text
from cliplab.rollout.device.connection import Answer, RegistryConnection, said_in
from cliplab.rollout.device.errors import UnreachableError
from cliplab.rollout.device.health import temperature_celsius
from cliplab.rollout.device.installed import free_bytes
from cliplab.rollout.device.loop_counts import LATENCY_EDGES_MS, Counts, ReadLoop, read_loops, remove_loop
from cliplab.rollout.device.report_queue import ReportQueue
from cliplab.rollout.device.state import DeviceState

# Reports that are sent in one round, so that a device that comes back after days does not flood the registry.
SENT_PER_ROUND = 50
_VERSIONS = 20  # whose names are known at least
_STATUS_REFUSED = (400, 404, 409, 413, 422)


class Telemetry:
    """What one device tells the registry.

    Args:
        folder: The client's own folder.
        state: Remembers what was reported.
        queue: Where reports wait.
        on_warning: Called with a message.
    """

    def __init__(
        self, folder: Path, state: DeviceState, queue: ReportQueue, on_warning: Callable[[str], object]
    ) -> None:
        self._loops, self._folder = folder / "loops", folder
        self._state, self._queue, self._on_warning = state, queue, on_warning
        self._saved_sequence = state.sequence
        self._heartbeat: dict[str, Any] | None = None
        queue.remove_from(state.committed)

    def crashes(self) -> list[ReadLoop]:
        """The loops whose process ended without saying so, each once."""
        seen = self._state.get("crashed")
        found = [
            loop for loop in read_loops(self._loops) if not loop.running and not loop.ended and loop.name not in seen
        ]
        for loop in found:
            seen[loop.name] = True
            self.note(loop.model, loop.version, restarts=1)
        return found

    def totals(self, model: str, sha256: str) -> Counts:
        """What all loops that have files counted for a version.

        Args:
            model: The model.
            sha256: Of the version's file.
        """
        total = Counts()
        for loop in read_loops(self._loops):
            if loop.model == model and sha256 in loop.versions:
                total = total.plus(loop.versions[sha256])
        return total

    def note(self, model: str, sha256: str, *, golden_failures: int = 0, restarts: int = 0) -> None:
        """Count what happened to a version, for the next report.

        Args:
            model: The model.
            sha256: Of the version's file.
            golden_failures: Failed golden checks.
            restarts: Crashes of loops.
        """
        events = self._state.get("events").setdefault(f"{model}\n{sha256}", {"golden_failures": 0, "restarts": 0})
        events["golden_failures"] += golden_failures
        events["restarts"] += restarts

    @property
    def has_events(self) -> bool:
        """Whether something happened that should be reported soon."""
        return bool(self._state.get("events"))

    def make(self, versions: dict[str, str], online: bool = False) -> int:
        """Store reports of what was counted since the last: one for each version that has counts, otherwise one.

        Args:
            versions: The version in use, by model.
            online: Whether ``send`` follows at once: then a report that counts nothing is kept in memory only. A kill
                loses nothing with it, and the disk is spared a write per round.

        Returns:
            How many were stored.

        Raises:
            StorageError: They cannot be written; what was counted is reported later.
        """
        before = self._state.copy()
        try:
            made, ended = self._make(versions, online)
        except StorageError:
            self._state.restore(before)
            raise
        for name in ended:
            remove_loop(self._loops, name)
        return made

    def _make(self, versions: dict[str, str], online: bool) -> tuple[int, list[str]]:
        counted, consumed, ended = self._collect()
        events = self._state.get("events")
        keys = dict.fromkeys([*counted, *((key.partition("\n")[0], key.partition("\n")[2]) for key in events)])
        named = [(model, sha256, version) for model, sha256 in keys if (version := self._version_name(sha256))]
        made, last = 0, None
        # Versions in use last: the registry shows a device with the versions of its newest report.
        for model, sha256, version in sorted(named, key=lambda item: versions.get(item[0]) == item[2]):
            last = {model: version}
            self._store(
                self._report(last, counted.get((model, sha256), Counts()), events.get(f"{model}\n{sha256}", {}))
            )
            made += 1
        lives = self._report(versions, Counts(), {}) if last != versions and not online else None
        if lives is not None:
            self._store(lives)
            made += 1
        # Only now: a process that is killed before this makes the same reports again, under the same numbers.
        events.clear()
        self._forget_versions(len(versions))
        self._state.put("consumed", consumed)
        self._state.put("crashed", {name: True for name in self._state.get("crashed") if name in consumed})
        if made:
            self._state.save()
        else:
            self._state.save_changes()
        self._saved_sequence = self._state.sequence
        if last != versions and online:
            self._state.reserve_sequence()
            self._heartbeat = self._report(versions, Counts(), {})
            self._state.next_sequence()
            made += 1
        return made, ended

    def send(self, connection: RegistryConnection) -> int:
        """Send waiting reports, the oldest first.

        Args:
            connection: To the registry.

        Returns:
            How many the registry took.

        Raises:
            UnreachableError: It did not answer, or asks to wait; the rest stays.
        """
        sent = 0
        for report in self._queue.waiting(self._saved_sequence):
            if report.device != self._state.name:
                self._queue.remove(report.sequence)
                continue
            if sent >= SENT_PER_ROUND:
                break
            try:
                answer = connection.post(f"devices/{report.device}/reports", report.body, "application/json")
            except UnreachableError as error:
                if error.status not in _STATUS_REFUSED:
                    self._keep_heartbeat()
                    raise
                self._on_warning(f"report {report.sequence} was refused and is dropped: {error}")
                self._queue.remove(report.sequence)
                continue
            self._queue.remove(report.sequence)
            sent += 1
            self._hear(answer)
        return sent + self._send_heartbeat(connection)

    def _send_heartbeat(self, connection: RegistryConnection) -> int:
        """Send the report that is in memory only; where that fails, it waits with the others."""
        report = self._heartbeat
        if report is None:
            return 0
        try:
            body = json_text(report).encode()
            self._hear(connection.post(f"devices/{self._state.name}/reports", body, "application/json"))
        except UnreachableError as error:
            if error.status not in _STATUS_REFUSED:
                self._keep_heartbeat()
                raise
            self._on_warning(f"report {report['sequence']} was refused and is dropped: {error}")
            self._heartbeat = None
            return 0
        self._heartbeat = None
        return 1

    def _keep_heartbeat(self) -> None:
        """Let the report that is in memory wait on the disk."""
        report, self._heartbeat = self._heartbeat, None
        if report is not None:
            self._queue.put(self._state.name, report)
            self._state.save()
            self._saved_sequence = self._state.sequence

    def _hear(self, answer: Answer) -> None:
        if b'"warning"' in answer.body:
            self._on_warning(said_in(answer.body, "warning")[:500])

    def remember_version(self, sha256: str, version: str) -> None:
        """Note what a file's version is called, for counts that come later.

        Args:
            sha256: Of the file.
            version: Its version.
        """
        known = self._state.get("versions")
        known.pop(sha256, None)
        known[sha256] = version

    def _forget_versions(self, models: int) -> None:
        """Forget what old files were called. A round remembers what is in use and what is wanted, newest last."""
        known = self._state.get("versions")
        for sha256 in list(known)[: -max(_VERSIONS, 4 * models)]:
            del known[sha256]

    def _version_name(self, sha256: str) -> str | None:
        found = self._state.get("versions").get(sha256)
        return found if isinstance(found, str) else None

    def _collect(self) -> tuple[dict[tuple[str, str], Counts], dict[str, Any], list[str]]:
        """New counts by model and digest, the counts that will have been reported, and the loops that have ended."""
        before = self._state.get("consumed")
        counted: dict[tuple[str, str], Counts] = {}
        consumed: dict[str, Any] = {}
        ended: list[str] = []
        for loop in read_loops(self._loops):
            earlier = before.get(loop.name)
            for sha256, counts in loop.versions.items():
                new = counts.minus(Counts.from_json((earlier or {}).get(sha256)))
                if not new.empty:
                    key = (loop.model, sha256)
                    counted[key] = counted.get(key, Counts()).plus(new)
            consumed[loop.name] = {sha256: counts.to_json() for sha256, counts in loop.versions.items()}
            if not loop.running:
                ended.append(loop.name)
        return counted, consumed, ended

    def _report(self, versions: dict[str, str], counts: Counts, happened: dict[str, int]) -> dict[str, Any]:
        """A report with the present number."""
        labelled = counts.labelled > 0
        return {
            "sequence": self._state.sequence,
            "time": self._state.trusted_now(),
            "client": self._state.client_id,
            "versions": versions,
            "predictions": counts.predictions + counts.errors,
            "errors": counts.errors,
            "golden_failures": happened.get("golden_failures", 0),
            "restarts": happened.get("restarts", 0),
            # A report that counts nothing is most of what an idle fleet sends.
            "latency_ms": {"edges": list(LATENCY_EDGES_MS), "counts": counts.latency} if counts.predictions else None,
            "scores": counts.scores,
            "disk_free_bytes": free_bytes(self._folder),
            "temperature_celsius": temperature_celsius(),
            "correct": counts.correct if labelled else None,
            "labelled": counts.labelled if labelled else None,
        }

    def _store(self, report: dict[str, Any]) -> None:
        """Let a report wait on the disk, and count it."""
        dropped = self._queue.put(self._state.name, report)
        if dropped:
            self._on_warning(
                f"{dropped} reports were dropped: the registry was unreachable for longer than reports are kept."
            )
        self._state.next_sequence()
