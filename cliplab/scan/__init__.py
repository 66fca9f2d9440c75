"""A library of videos to scores and highlights."""
