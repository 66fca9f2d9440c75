"""Write what the container consists of (CycloneDX JSON): Python packages and the native libraries in their wheels.

    python scripts/make_sbom.py .venv-container constraints/container.cdx.json

cyclonedx-py lists the packages of an environment. What their wheels bring along in folders such as ``av.libs`` is added
here, with its licence: PyAV's own licence says nothing about the x264 and x265 inside. `make lock` runs this.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_GPL2, _GPL3, _LGPL21, _LGPL3 = "GPL-2.0-or-later", "GPL-3.0-or-later", "LGPL-2.1-or-later", "LGPL-3.0-or-later"
_EITHER = f"{_LGPL3} OR {_GPL2}"
# SPDX expressions, from the projects' own licence files. FFmpeg's is that of its configuration: PyAV's has
# --enable-version3, and what is linked with x264 and x265 is under the GPL as a whole.
LICENCES = {
    **dict.fromkeys(("libx264", "libx265"), _GPL2),
    **dict.fromkeys(("libgmp", "libnettle", "libhogweed", "libunistring"), _EITHER),
    **dict.fromkeys(("libgnutls", "libasound"), _LGPL21),
    **dict.fromkeys(("libdrm", "libXau", "libxcb", "libxcb-shape", "libxcb-shm", "libxcb-xfixes", "libvpl"), "MIT"),
    **dict.fromkeys(("libdav1d", "libaom", "libavif"), "BSD-2-Clause"),
    **dict.fromkeys(("libvpx", "libopus", "libwebp", "libwebpmux", "libsharpyuv", "libopenblasp"), "BSD-3-Clause"),
    **dict.fromkeys(("libopenblas64_p", "libscipy_openblas64_"), "BSD-3-Clause"),
    **dict.fromkeys(("libopencore-amrnb", "libopencore-amrwb"), "Apache-2.0"),
    **dict.fromkeys(("libcrypto", "libssl"), "OpenSSL"),
    "libSvtAv1Enc": "BSD-3-Clause-Clear",
    "libmp3lame": "LGPL-2.0-or-later",
    "libpng16": "libpng-2.0",
    "libgfortran": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "libquadmath": _LGPL21,
}
_FFMPEG = re.compile(r"lib(avcodec|avdevice|avfilter|avformat|avutil|swresample|swscale|postproc)$")
_LIBRARY = re.compile(r"(?P<name>lib.+?)(-r0)?(-[0-9a-f]{8})+(?P<version>[.\d]*)\.so(?P<soname>[.\w]*)$")


def main(environment: Path, output: Path) -> None:
    """Write the list of an environment."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--sv", "1.6"]
    made = subprocess.run([*command, str(environment / "bin" / "python")], stdout=subprocess.PIPE, check=True)
    bom = json.loads(made.stdout)
    version = re.search(r'__version__ = "(.+)"', (ROOT / "cliplab" / "__init__.py").read_text(encoding="utf-8"))
    assert version
    bom["metadata"]["component"] = {
        "bom-ref": "cliplab",
        "type": "application",
        "name": "cliplab",
        "version": version[1],
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }
    (packages,) = environment.glob("lib/python*/site-packages")
    bom["components"] += [item for folder in sorted(packages.glob("*.libs")) for item in _libraries(folder)]
    text = json.dumps(bom, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    _validate(text)
    output.write_text(text, encoding="utf-8")


def _libraries(folder: Path) -> list[dict[str, Any]]:
    """The shared libraries that a wheel brings along."""
    has_gpl = any(path.name.startswith(("libx264", "libx265")) for path in folder.iterdir())
    found = []
    for path in sorted(folder.glob("lib*.so*")):
        match = _LIBRARY.match(path.name)
        assert match, f"{path.name}: its name and version cannot be told apart"
        name = match["name"]
        licence = (_GPL3 if has_gpl else _LGPL21) if _FFMPEG.match(name) else LICENCES.get(name)
        found.append(
            {
                "bom-ref": f"{folder.name}/{path.name}",
                "type": "library",
                "name": name,
                "version": (match["soname"] or match["version"]).strip("."),
                "description": f"native library in {folder.name}; the version is the shared library's",
                **({"licenses": [{"expression": licence}]} if licence else {}),
            }
        )
    return found


def _validate(text: str) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert error is None, error


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
