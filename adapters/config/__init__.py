"""Configs: read, migrate, check, fill in defaults, override, explain."""
