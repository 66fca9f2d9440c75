"""Versions of the tables of rollouts: one file per version."""
