"""Video files and live streams to frames by time, and frames to model input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from adapters.media.child_video import ChildVideo as ChildVideo
    from adapters.media.claimed_length import require_footage as require_footage
    from adapters.media.clock import Clock as Clock
    from adapters.media.clock import may_be_joined as may_be_joined
    from adapters.media.decoder_pool import DEFAULT_MEMORY_MB as DEFAULT_MEMORY_MB
    from adapters.media.decoder_pool import DecoderPool as DecoderPool
    from adapters.media.decoder_pool import open_limited as open_limited
    from adapters.media.files import VIDEO_SUFFIXES as VIDEO_SUFFIXES
    from adapters.media.files import UnreadablePath as UnreadablePath
    from adapters.media.files import VideoFile as VideoFile
    from adapters.media.files import is_hidden as is_hidden
    from adapters.media.files import is_picture_name as is_picture_name
    from adapters.media.files import is_video_name as is_video_name
    from adapters.media.files import videos_below as videos_below
    from adapters.media.live import LiveVideo as LiveVideo
    from adapters.media.live import is_live as is_live
    from adapters.media.live import open_growing as open_growing
    from adapters.media.opening import MediaLimits as MediaLimits
    from adapters.media.opening import Source as Source
    from adapters.media.opening import check_source as check_source
    from adapters.media.opening import ffmpeg_reason as ffmpeg_reason
    from adapters.media.opening import open_container as open_container
    from adapters.media.packets import is_filler as is_filler
    from adapters.media.packets import read_packets as read_packets
    from adapters.media.parts import copy_parts as copy_parts
    from adapters.media.picture_size import jpeg_size as jpeg_size
    from adapters.media.picture_size import size_of_picture as size_of_picture
    from adapters.media.preprocess import PerChannel as PerChannel
    from adapters.media.preprocess import decode_picture as decode_picture
    from adapters.media.preprocess import decode_size as decode_size
    from adapters.media.preprocess import fit_frames as fit_frames
    from adapters.media.preprocess import picture_fit as picture_fit
    from adapters.media.preprocess import resize as resize
    from adapters.media.preprocess import to_model_input as to_model_input
    from adapters.media.reading_limits import limited_reading as limited_reading
    from adapters.media.sampling import EPSILON_SECONDS as EPSILON_SECONDS
    from adapters.media.sampling import Window as Window
    from adapters.media.sampling import fill_clip as fill_clip
    from adapters.media.sampling import one_clip_spec as one_clip_spec
    from adapters.media.sampling import plan_clip as plan_clip
    from adapters.media.sampling import sample_times as sample_times
    from adapters.media.sampling import window_seconds as window_seconds
    from adapters.media.stream_choice import choose_stream as choose_stream
    from adapters.media.stream_choice import video_streams as video_streams
    from adapters.media.video import Video as Video
    from adapters.media.video import VideoInfo as VideoInfo
    from adapters.media.video import open_video as open_video
    from adapters.media.video import probe as probe
    from adapters.media.video import read_clip as read_clip
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "child_video": ("ChildVideo",),
            "clock": ("Clock", "may_be_joined"),
            "decoder_pool": ("DEFAULT_MEMORY_MB", "DecoderPool", "open_limited"),
            "claimed_length": ("require_footage",),
            "files": (
                "VIDEO_SUFFIXES",
                "VideoFile",
                "UnreadablePath",
                "is_hidden",
                "is_picture_name",
                "is_video_name",
                "videos_below",
            ),
            "live": ("LiveVideo", "is_live", "open_growing"),
            "opening": ("MediaLimits", "Source", "check_source", "open_container", "ffmpeg_reason"),
            "packets": ("is_filler", "read_packets"),
            "parts": ("copy_parts",),
            "picture_size": ("jpeg_size", "size_of_picture"),
            "preprocess": (
                "PerChannel",
                "decode_picture",
                "decode_size",
                "fit_frames",
                "picture_fit",
                "resize",
                "to_model_input",
            ),
            "reading_limits": ("limited_reading",),
            "sampling": (
                "EPSILON_SECONDS",
                "Window",
                "fill_clip",
                "one_clip_spec",
                "plan_clip",
                "sample_times",
                "window_seconds",
            ),
            "stream_choice": ("choose_stream", "video_streams"),
            "video": ("Video", "VideoInfo", "open_video", "probe", "read_clip"),
        },
    )
