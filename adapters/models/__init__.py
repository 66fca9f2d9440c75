"""What the built-in adapters share, and one folder for each family of models."""
