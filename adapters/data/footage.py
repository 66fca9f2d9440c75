"""Names of clips that say from which footage they were cut, in the style of public datasets."""

from __future__ import annotations

import re

from adapters.data.video_paths import cut_from

# UCF-101 and UCF-50: v_<class>_g<group>_c<clip>; the clips of a group show the same people in the same place.
_UCF = re.compile(r"(v_.+_g\d+)_c\d+", re.IGNORECASE)
# HMDB-51: <source>_<class>_<body>_<camera>_np<people>_<side>_<quality>_<clip>.
_HMDB = re.compile(r"(.+)_[fuhl]_(?:cm|nm)_np\d+_(?:fr|ba|le|ri)_(?:goo|med|bad)_\d+")


def footage_of(stem: str) -> str | None:
    """The footage of a clip by its name; None where the name does not say it.

    Args:
        stem: The name of its file without the suffix.
    """
    for style in (_UCF, _HMDB):
        if (found := style.fullmatch(stem)) is not None:
            return found[1]
    cut = cut_from(stem)
    return cut[0] if cut is not None else None
