"""Highlights to one video."""
