"""Options of the studio: whose labels, where it listens, and who may open it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from adapters.errors import ConfigError
from adapters.hosts.http_server.options import MIN_TOKEN_LENGTH, is_loopback


@dataclass(frozen=True)
class StudioOptions:
    """Options of ``studio``. A wrong value raises ConfigError on construction.

    Attributes:
        data_dir: Folder of the media and of ``labels.db``.
        host: Address to listen on.
        port: Port to listen on; 0 lets the system choose one.
        labels: Classes in their order; None for those of the store.
        output: File that is kept in step with the labels; None for none.
        token: Secret that opens the studio from other machines; None where it listens on loopback.
        models_dir: Folder of bundles; None for ``data_dir/models``.
        database: The clip database, a path or ``postgresql://...``; None for ``data_dir/clips.db``.
        annotator: Name that labels are stored under until a person types another; None asks for it.
        registry: Folder or database URL of the registry that the Fleet page shows; None for CLIPLAB_REGISTRY, or the
            user's own.
        several_labels: Whether an item may have several labels; None: as it was set before, at first one.
    """

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8080
    labels: tuple[str, ...] | None = None
    output: Path | None = None
    token: str | None = None
    models_dir: Path | None = None
    database: str | None = None
    annotator: str | None = None
    registry: str | Path | None = None
    several_labels: bool | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port is {self.port} and must be from 0 to 65535")
        if self.token is None and not is_loopback(self.host):
            raise ConfigError(
                f"host is {self.host}, which other machines can reach, but no token is set, so anyone could open it. "
                "Set a token, or listen on 127.0.0.1"
            )
        if self.token is not None and not (len(self.token) >= MIN_TOKEN_LENGTH and self.token.isascii()):
            raise ConfigError(
                f"the token has {len(self.token)} characters and must have at least {MIN_TOKEN_LENGTH}, all ASCII"
            )
        if self.labels is not None:
            check_class_names(self.labels)
        if self.annotator is not None and not 0 < len(self.annotator) <= 100:
            raise ConfigError(f"annotator has {len(self.annotator)} characters and must have 1 to 100")

    @property
    def models_folder(self) -> Path:
        """``models_dir``, or ``data_dir/models``."""
        return self.data_dir / "models" if self.models_dir is None else self.models_dir

    @property
    def clip_database(self) -> str:
        """``database``, or the path of ``data_dir/clips.db``."""
        return str(self.data_dir / "clips.db") if self.database is None else self.database


def check_class_names(names: tuple[str, ...]) -> None:
    """Refuse class names that cannot be labels.

    Args:
        names: The classes in their order.

    Raises:
        ConfigError: There are none, one is empty or longer than 200 characters, or two are the same.
    """
    if not names:
        raise ConfigError("labels must have at least one class, for example --labels ad,content")
    for name in names:
        if not name.strip() or len(name) > 200:
            raise ConfigError(f"a class is named {name[:50]!r}; a name has 1 to 200 characters that are not all spaces")
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ConfigError(f"labels contain {doubled[0]!r} twice. Give each class once")
