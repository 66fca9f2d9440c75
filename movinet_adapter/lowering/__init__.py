"""The MoViNet network as built-in LiteRT operators."""
