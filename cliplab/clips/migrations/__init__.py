"""Versions of the clip database, by Alembic."""
