"""The words that options take, as types. Nothing else is imported, so that a command line can name them at no cost."""

from __future__ import annotations

from typing import Literal

Aspect = Literal["crop", "pad", "stretch"]
SamplingMode = Literal["spread", "rate", "every"]
ShortClip = Literal["repeat_last", "wrap", "error"]
Aggregation = Literal["mean", "max", "top_mean"]
Precision = Literal["float32", "float16", "dynamic", "int8"]  # of a program's weights and arithmetic
# What "quantize" accepts: "none", the older word, is float32.
RequestedPrecision = Literal["float32", "float16", "dynamic", "int8", "none"]
WantedPrecision = Literal["auto", "float32", "float16", "dynamic", "int8"]  # of a model that may have several programs
Phase = Literal["head", "fine_tune"]  # of a training
KeepBest = Literal["val_loss", "val_accuracy"]
Devices = int | Literal["all"]  # how many devices share each batch in training
# "rows": the rows of ``cliplab predict --json``. "hf": those of Hugging Face's video-classification pipeline.
ResultShape = Literal["rows", "hf"]
