"""The dataset in files: one module for each format."""
