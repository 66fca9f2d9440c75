"""How good a model is: metrics, gates, curves and plots."""
