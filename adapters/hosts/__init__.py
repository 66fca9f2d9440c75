"""Hosts: each platform has one file that translates between the platform and the contract.

Only that file, and the files in the folder with the platform's name, import the platform.
"""
