"""What a registry hands out: versions, and which of them an environment has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from cliplab.registry.events import Event
from cliplab.registry.names import full_name


@dataclass(frozen=True)
class StoredVersion:
    """A version that was uploaded. It never changes.

    Attributes:
        name: The model.
        version: Such as "1.2.3".
        uploaded_at: When, in ISO 8601, UTC.
        uploaded_by: Who.
        description: What the person said of it.
        file: Its file: a path below the registry's folder, or a URI that MLflow reads.
        file_name: The name under which it is published: NAME-vVERSION.tflite, or .tar for a bundle.
        format: "tflite" for a self-describing file, "bundle" for a folder kept as one tar file.
        sha256: The digest of the file.
        size_bytes: Its size.
        metrics: Figures by name.
        interface: What only a new major version may change: adapter, task, labels, input, architecture.
        gates: The limits that the model's config asks for.
        evaluation: The stored evaluation.json; None where none was given.
        golden: A reference clip's rendering, the scores that the file gave for it, and how far off others may be; None
            where the model cannot predict rendered clips.
        card: The model card, Markdown; empty where the model has none.
        lineage: Where it came from: config digest, dataset, source model, run, commit.
        change: How it differs from the version before it; see ``cliplab.registry.semantics``.
        run_id: MLflow's run; None where none was kept.
        sequence: The number of the event that stored it.
    """

    name: str
    version: str
    uploaded_at: str
    uploaded_by: str
    description: str
    file: str
    file_name: str
    format: Literal["tflite", "bundle"]
    sha256: str
    size_bytes: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    interface: Mapping[str, Any] = field(default_factory=dict)
    gates: Mapping[str, float] = field(default_factory=dict)
    evaluation: Mapping[str, Any] | None = None
    golden: Mapping[str, Any] | None = None
    card: str = ""
    lineage: Mapping[str, Any] = field(default_factory=dict)
    change: Mapping[str, Any] = field(default_factory=dict)
    run_id: str | None = None
    sequence: int = 0

    @property
    def full_name(self) -> str:
        """Such as base-general-v1.0.0."""
        return full_name(self.name, self.version)

    @property
    def target(self) -> str:
        """Its path in the signed repository: NAME/VERSION/FILE."""
        return f"{self.name}/{self.version}/{self.file_name}"

    def to_json(self) -> dict[str, Any]:
        """The attributes and the full name as a JSON object."""
        return asdict(self) | {"full_name": self.full_name, "target": self.target}

    @classmethod
    def of(cls, event: Event) -> StoredVersion:
        """The version that an "upload" event stored.

        Args:
            event: The event.
        """
        assert event.model is not None
        assert event.version is not None
        return cls(
            name=event.model,
            version=event.version,
            uploaded_at=event.at,
            uploaded_by=event.who,
            description=event.reason,
            sequence=event.sequence,
            **event.details,
        )


@dataclass(frozen=True)
class Placement:
    """Which version an environment has.

    Attributes:
        name: The model.
        environment: The environment.
        version: The current version.
        previous: The version before it; None for the first.
        since: When it became current.
        who: Who made it so.
        sequence: The number of the event.
    """

    name: str
    environment: str
    version: str
    previous: str | None
    since: str
    who: str
    sequence: int

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object."""
        return asdict(self)

    @classmethod
    def of(cls, event: Event) -> Placement:
        """The placement that an event made.

        Args:
            event: A "promote" or "rollback" event.
        """
        assert event.model is not None
        assert event.environment is not None
        assert event.to_version is not None
        return cls(
            event.model, event.environment, event.to_version, event.from_version, event.at, event.who, event.sequence
        )
