"""MoViNet frame by frame: states, sessions and the program that they run."""
