"""LiteRT programs: run, stream, edit, quantise, cache, and the .tflite that describes itself."""
