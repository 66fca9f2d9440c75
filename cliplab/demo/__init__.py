"""The whole loop on the sample clips."""
