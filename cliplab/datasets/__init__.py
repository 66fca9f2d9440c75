"""What a person does with labelled clips."""
