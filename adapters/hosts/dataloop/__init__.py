"""What the Dataloop host is made of."""
