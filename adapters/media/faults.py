"""Whatever FFmpeg, PyAV, NumPy or OpenCV raise while a source is read becomes that source's MediaError."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from adapters.errors import AdapterError, MediaError, describe_failure

P = ParamSpec("P")
Item = TypeVar("Item")


class SourceErrors:
    """A context in which every exception that is not an AdapterError becomes a MediaError that names the source.

    A file that nobody foresaw must cost its own result only. Used around each pass over a source, also inside of
    generators: an exception of the loop that consumes one is not raised in it.
    """

    def __init__(self, source: object) -> None:
        """Prepare for one source.

        Args:
            source: For messages.
        """
        self._source = source

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, Exception) or isinstance(error, AdapterError):
            return
        raise MediaError(describe_failure(self._source, error)) from error


class _OfOneSource(Protocol):
    """An object with a source, by which messages call it."""

    _source: Any


OfOneSource = TypeVar("OfOneSource", bound=_OfOneSource)


def pass_over_source(
    function: Callable[Concatenate[OfOneSource, P], Iterator[Item]],
) -> Callable[Concatenate[OfOneSource, P], Iterator[Item]]:
    """Make a generator method of an object with ``_source`` raise AdapterErrors only, as in ``SourceErrors``."""

    @wraps(function)
    def run(self: OfOneSource, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[Item]:
        with SourceErrors(self._source):
            yield from function(self, *args, **kwargs)

    return run
