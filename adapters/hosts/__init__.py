"""Hosts: one file a platform, which translates between it and the contract. Only that file imports the platform."""
