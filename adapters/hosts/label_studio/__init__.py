"""What the Label Studio host is made of."""
