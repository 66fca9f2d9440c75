"""What every part may use: whole writes, locks, caches, the log of native code."""
