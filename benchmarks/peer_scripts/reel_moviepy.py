"""Join stretches of clips with crossfades of half a second, with MoviePy.

    python reel_moviepy.py FOLDER OUT.mp4 START SECONDS

takes SECONDS from START on of each .mp4 of the folder, by name.
"""

from __future__ import annotations

import sys
from pathlib import Path

FADE = 0.5


def main() -> None:
    from moviepy import VideoFileClip, afx, concatenate_videoclips, vfx

    start, seconds = float(sys.argv[3]), float(sys.argv[4])
    clips = []
    for number, path in enumerate(sorted(Path(sys.argv[1]).glob("*.mp4"))):
        clip = VideoFileClip(str(path)).subclipped(start, start + seconds)
        if number:
            clip = clip.with_effects([vfx.CrossFadeIn(FADE), afx.AudioFadeIn(FADE)])
        clips.append(clip.with_effects([afx.AudioFadeOut(FADE)]))
    reel = concatenate_videoclips(clips, padding=-FADE, method="compose")
    encoding = {"codec": "libx264", "preset": "superfast", "ffmpeg_params": ["-crf", "20", "-g", "60"]}
    reel.write_videofile(sys.argv[2], fps=30, audio_codec="aac", threads=2, logger=None, **encoding)


if __name__ == "__main__":
    main()
