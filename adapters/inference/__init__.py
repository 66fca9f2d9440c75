"""Models applied to videos: open a model, predict videos, follow streams, find segments."""
