"""The errors that the library raises on purpose.

Each message says what is wrong, where, what was received, what is allowed and what to do next.
"""


class AdapterError(Exception):
    """The base of every error that is raised on purpose; a host may show its text to a user as it is."""


class ConfigError(AdapterError):
    """A config that is not allowed, or a key or value in it."""


class MediaError(AdapterError):
    """A video that cannot be opened, decoded or sampled as requested."""


class WeightsError(AdapterError):
    """Weights that cannot be found, fetched, verified or fitted to the network."""


class BundleError(AdapterError):
    """A bundle or self-describing .tflite that is damaged, incomplete or foreign."""


class DatasetError(AdapterError):
    """Labels, paths or splits that no model can be trained or measured on."""


class TrainingError(AdapterError):
    """Training that cannot start or continue."""


class ConversionError(AdapterError):
    """A conversion that failed or whose result differs too much from its source."""


class ScoresError(AdapterError, ValueError):
    """Scores or features that are not finite numbers: of damaged weights, or of values too large for them."""


class StorageError(AdapterError):
    """A file that cannot be written: a full disk, a read-only folder, a path through a file."""


class ClusterError(AdapterError):
    """A cluster that cannot be reached, or whose workers cannot start."""


class MissingExtraError(AdapterError):
    """A feature whose optional packages are not installed."""

    def __init__(self, package: str, extra: str, needed_for: str = "this", otherwise: str = "") -> None:
        """The message names the command that installs them.

        Args:
            package: The module or package that is missing.
            extra: The extra of cliplab that has it, such as ``train``.
            needed_for: What needs it.
            otherwise: Another way to reach the same, as a sentence.
        """
        self.package, self.extra = package, extra
        advice = f". {otherwise}" if otherwise else ""
        super().__init__(
            f"{package} is not installed, but {needed_for} needs it. Install it with: {install_command(extra)}{advice}"
        )


def install_command(extra: str) -> str:
    """The pip command that adds an extra to this installation of cliplab, by where pip got it from.

    Args:
        extra: The extra, such as ``train``.

    Returns:
        The command; for a clone or a wheel file it says in which folder it works. It names no path of this machine.
    """
    import json
    from importlib import metadata
    from pathlib import Path

    try:
        origin = json.loads(metadata.distribution("cliplab").read_text("direct_url.json") or "{}")
    except (metadata.PackageNotFoundError, OSError, ValueError):
        origin = {}
    if not origin and (Path(__file__).resolve().parents[1] / "setup.py").is_file():
        origin = {"dir_info": {}}  # a clone that is run without being installed
    url = str(origin.get("url", ""))
    if "dir_info" in origin:
        editable = "-e " if origin["dir_info"].get("editable") else ""
        return f"pip install {editable}'.[{extra}]' (in your clone of cliplab)"
    if "vcs_info" in origin:
        return f"pip install 'cliplab[{extra}] @ {origin['vcs_info'].get('vcs', 'git')}+{url}'"
    if url.startswith("file:"):
        return f"pip install './{url.rpartition('/')[2]}[{extra}]' (in the folder of that file)"
    return f"pip install 'cliplab[{extra}]'"


def describe_failure(source: object, error: BaseException) -> str:
    """Why one source failed, in words that name it, whatever was raised while it was read or scored.

    Args:
        source: A video or another source, as messages name it.
        error: What was raised. Errors of this module speak for themselves; what no code expected is called a fault of
            cliplab, with its class and text, for a report.
    """
    if isinstance(error, AdapterError):
        return str(error)
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return f"{source}: needs more memory than is available ({text or 'MemoryError'}). Scale the video down."
    if isinstance(error, OSError):
        reason = error.strerror or text or type(error).__name__
        return f"{source}: cannot be read ({reason}). Check the file, its disk and its permissions."
    return (
        f"{source}: unexpected {type(error).__name__}: {text or 'no message'}. This is a bug in cliplab: please "
        "report it with the file."
    )
