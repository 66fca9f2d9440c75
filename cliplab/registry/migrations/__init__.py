"""Versions of the database of a registry, by Alembic."""
