"""Labelled clips: the dataset, its checks and splits."""
