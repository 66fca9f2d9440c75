"""Parts of the Dataloop host: the model adapter, items, annotations, training, and metrics."""
