"""Versions of the clip database: one file per version."""
