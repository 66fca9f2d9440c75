"""Weights files: found, downloaded, verified and read as arrays."""
