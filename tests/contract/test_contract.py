"""The contract suite over every config that comes with the library.

Run from the checkout, and once from a built wheel elsewhere; so nothing but the installed packages is used. Weights are
random and pictures small: the contract is about shapes, labels, files and errors, not about being right.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from adapters.errors import ConfigError, ConversionError
from adapters.inference import open_model, read_config, ready_configs
from adapters.records import RequestedPrecision
from adapters.testing import AdapterContract

SMALL: dict[str, Any] = {"weights": "random", "imgz": 32, "n_frames": 2}
CONFIGS = ready_configs()


# The larger sizes differ from A0 in numbers alone, and these others from configs that run anyway: in labels, or in
# which of the networks of Keras they name (test_mobilenet.py converts it). All of them together take many minutes and
# leave gigabytes behind, so test_contract_alike.py runs this module for each in a process of its own.
ALIKE = re.compile(r"movinet_a[1-5]_|efficientnet_lite[12]|drone_resnet18|mobilenet_v3")
ONLY = os.environ.get("CLIPLAB_CONTRACT_CONFIG")
# Their members are bundles that a user has trained, so the tests put some beside the config.
ENSEMBLES = {"drone_ensemble"}
# The networks of other configs, with labels: once is enough to be converted at another size.
SAME_NETWORK = {"ads_base", "ads_temporal", "trick_movinet_a0"}
# Another one's network and labels; they differ in what breaks are like and in how they train.
SAME_CONFIG = {"ads_sports", "ads_show", "ads_network"}


def precision(name: str) -> RequestedPrecision:
    """Of the converted file, not the config's own: some networks are converted once more, for float16; what is made of
    the float32 program is not."""
    # Of the random weights of the second, 8 bits change an answer between two labels that are equally good.
    if name in ("trick_movinet_a0", "ads_temporal"):
        return "float32"
    return "float16" if name.startswith(("movinet", "efficientnet")) else "dynamic"


@pytest.fixture(scope="module", autouse=True)
def cache(own_cache: Path) -> None:
    """Every test of this module uses one cache."""


class EnsembleContract(AdapterContract):
    """An ensemble is several programs: its members are what is converted and resized."""

    convertible = False

    @classmethod
    def prepare(cls, folder: Path) -> Path:
        config = Path(shutil.copy(str(cls.config), folder))
        settings = read_config(config)
        own = {key: settings[key] for key in ("labels", "positive_label")}
        first, *others = (config.with_name(member) for member in settings["members"])
        open_model("ads_base", {**SMALL, **own}).save(first)
        for other in others:
            shutil.copytree(first, other)
        return config

    def test_an_edited_size_is_run_or_refused(self) -> None:
        with pytest.raises(ConfigError, match='"imgz" belongs to the members'):
            open_model(self.bundle, {"imgz": 48})

    def test_the_command_for_members_is_named_where_it_cannot_be_converted(self, tmp_path: Path) -> None:
        with pytest.raises(ConversionError, match="cliplab convert"):
            self.adapter.convert(tmp_path / "model.tflite")


def contract(name: str) -> type[AdapterContract]:
    """The suite's class for a ready config."""
    settings: dict[str, Any] = {"config": CONFIGS[name], "__module__": __name__}
    if name in ENSEMBLES:
        return type(f"Test_{name}", (EnsembleContract,), settings)
    settings |= {"overrides": SMALL, "convert_to": precision(name)}
    if name in SAME_NETWORK:
        settings["other_size"] = None
    return type(f"Test_{name}", (AdapterContract,), settings)


for name in [ONLY] if ONLY else [name for name in sorted(CONFIGS) if not ALIKE.match(name) and name not in SAME_CONFIG]:
    globals()[f"Test_{name}"] = contract(name)
