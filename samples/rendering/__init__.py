"""What make_samples.py draws with: footage, cartoons, motion graphics and sound, all seeded."""
