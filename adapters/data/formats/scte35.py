"""SCTE-35 splice cues in an MPEG transport stream, read with threefive."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import Any

from adapters.data.formats.cue_breaks import CueBreaks
from adapters.data.formats.interval_records import IntervalFormat, IntervalSource
from adapters.errors import DatasetError, MissingExtraError
from adapters.system import open_regular_file

_PACKET = 188
_SYNC = 0x47
_TICKS = 90_000
_WRAP = 2**33 / _TICKS  # seconds after which a stream's clock begins again
_MAX_CUES = 100_000
# Segmentation types of ANSI/SCTE 35 2023, table 23, that lead out of the programme; the next number leads back.
_OUT_TYPES = frozenset({0x22, 0x30, 0x32, 0x34, 0x36, 0x44, 0x46})


def read_scte35(source: IntervalSource) -> None:
    """Read the cues of the first programme that has some. Seconds are counted from its first picture or sound.

    Raises:
        DatasetError: It is not a transport stream, or cannot be read.
        MissingExtraError: threefive is not installed.
    """
    try:
        from threefive import Stream
    except ImportError:
        raise MissingExtraError("threefive", "ads", "reading SCTE-35 cues") from None
    breaks, damaged, program = CueBreaks(), 0, None
    others: set[int] = set()
    # threefive prints to the terminal what it cannot read.
    with _opened(source) as file, contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        stream = Stream(file, show_null=False)
        count = 0
        while packet := file.read(_PACKET):
            cue, failed = _cue_in(stream, packet)
            damaged += failed
            if cue is None:
                continue
            count += 1
            if count > _MAX_CUES:
                raise DatasetError(f"{source.path}: has more than {_MAX_CUES:,} splice cues")
            own = cue.packet_data.program
            program = own if program is None else program
            if own != program:
                others.add(own)
                continue
            _use(cue, stream.start.get(program), breaks, f"cue {count}", source)
    source.notes.append(f"{count} splice cues were read")
    if others:
        source.notes.append(f"the cues of {len(others)} other programmes in the stream were left out")
    if damaged:
        source.notes.append(f"{damaged} packets are damaged and were skipped")
    breaks.add_to(source)


def _opened(source: IntervalSource) -> Any:
    try:
        file = open_regular_file(source.path, DatasetError)
    except OSError as error:
        raise DatasetError(f"{source.path}: could not be read ({error.strerror or error})") from None
    first = _first_packet(file.read(_PACKET * 16))
    if first is None:
        file.close()
        raise DatasetError(f"{source.path}: is not an MPEG transport stream of packets of {_PACKET} bytes")
    file.seek(first)
    return file


def _first_packet(head: bytes) -> int | None:
    """Where the first packet begins, by three of them in a row; two packets may be all that a short file has."""
    for at in range(min(_PACKET, len(head))):
        marks = head[at::_PACKET][:3]
        if marks and all(mark == _SYNC for mark in marks):
            return at
    return None


def _cue_in(stream: Any, packet: bytes) -> tuple[Any, int]:
    """The cue that a packet completes, and 1 where the packet is damaged."""
    if len(packet) < _PACKET or packet[0] != _SYNC:
        return None, 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cue = stream.parse(packet)
    except Exception:  # threefive raises whatever a damaged section makes of it
        return None, 1
    return (cue or None), 0


def _use(cue: Any, first: int | None, breaks: CueBreaks, where: str, source: IntervalSource) -> None:
    """Take what a cue says about a break."""
    command = cue.command
    if command is None or command.command_type not in (5, 6):
        return
    given = command.pts_time
    if given is None:
        at = cue.packet_data.pts  # at once: when the cue comes
    else:
        at = given + (cue.info_section.pts_adjustment or 0.0)
    if at is None or first is None:
        source.leave_out(where, "have no time")
        return
    seconds = _since(float(at), first / _TICKS)
    if command.command_type == 5:
        if command.splice_event_cancel_indicator:
            return
        event = str(command.splice_event_id)
        if command.out_of_network_indicator:
            breaks.leave(seconds, _length(command.break_duration), where, event)
        else:
            breaks.come_back(seconds, event) or breaks.come_back(seconds)
        return
    for part in cue.descriptors:
        kind = getattr(part, "segmentation_type_id", None)
        if kind in _OUT_TYPES:
            breaks.leave(seconds, _length(part.segmentation_duration), where, str(part.segmentation_event_id))
        elif kind is not None and kind - 1 in _OUT_TYPES:
            breaks.come_back(seconds, str(part.segmentation_event_id))


def _length(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and value > 0 else None


def _since(at: float, first: float) -> float:
    """Seconds since the stream's first time, across its clock's new beginning; 0 for a cue just before it."""
    passed = (at - first) % _WRAP
    return 0.0 if passed > _WRAP / 2 else passed


def is_scte35(source: IntervalSource) -> bool:
    """Whether the file is a transport stream."""
    try:
        _opened(source).close()
    except DatasetError:
        return False
    return True


FORMAT = IntervalFormat(read_scte35, None, (".ts", ".m2t", ".mts"), is_scte35)
