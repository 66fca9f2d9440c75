"""Versions of the registry's database: one file per version."""
