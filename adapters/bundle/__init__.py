"""A model on disk: the sealed folder, its golden clip and its card."""
