"""Join stretches of clips with crossfades of half a second, as ffmpeg's filters xfade and acrossfade do it.

    python reel_xfade.py FOLDER OUT.mp4 START SECONDS

takes SECONDS from START on of each .mp4 of the folder, by name.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

FADE = 0.5


def find_ffmpeg() -> str:
    """ffmpeg of the system, or else that of imageio-ffmpeg."""
    found = shutil.which("ffmpeg")
    if found is None:
        import imageio_ffmpeg

        found = imageio_ffmpeg.get_ffmpeg_exe()
    return found


def main() -> None:
    paths, output = sorted(Path(sys.argv[1]).glob("*.mp4")), sys.argv[2]
    start, seconds = float(sys.argv[3]), float(sys.argv[4])
    inputs = [word for path in paths for word in ("-ss", str(start), "-t", str(seconds), "-i", str(path))]
    graph, video, sound = [], "0:v", "0:a"
    for number in range(1, len(paths)):
        offset = number * (seconds - FADE)
        graph.append(f"[{video}][{number}:v]xfade=transition=fade:duration={FADE}:offset={offset:g}[v{number}]")
        graph.append(f"[{sound}][{number}:a]acrossfade=d={FADE}:c1=qsin:c2=qsin[a{number}]")
        video, sound = f"v{number}", f"a{number}"
    encoding = ["-c:v", "libx264", "-preset", "superfast", "-crf", "20", "-g", "60", "-pix_fmt", "yuv420p"]
    encoding += ["-c:a", "aac", "-b:a", "160k", "-movflags", "+faststart"]
    subprocess.run(
        [find_ffmpeg(), "-y", "-v", "error", *inputs, "-filter_complex", ";".join(graph),
         "-map", f"[{video}]", "-map", f"[{sound}]", *encoding, output],
        check=True,
    )  # fmt: skip


if __name__ == "__main__":
    main()
