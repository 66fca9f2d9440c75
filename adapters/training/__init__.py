"""From labelled clips to a trained model: features, heads, fine-tuning, devices."""
