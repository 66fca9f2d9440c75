"""Video files and live streams to frames by time, and frames to model input."""
