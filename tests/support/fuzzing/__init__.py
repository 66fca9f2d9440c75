"""Fuzzing: seeded, damaged or hostile inputs for each door of the library, run in processes that may be lost."""
