"""Classifiers made elsewhere: any .tflite of frames, of clips or of a stream, with labels and a few facts added."""

from adapters.models.tflite_classifier.adapter import TfliteClassifierAdapter
from adapters.models.tflite_classifier.adoption import Adoption, adopt_tflite

__all__ = ["Adoption", "TfliteClassifierAdapter", "adopt_tflite"]
