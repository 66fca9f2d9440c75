"""Which models a folder holds, and which of them its workers use."""
