"""What the HTTP host is made of."""
