"""What a person does with a model: predict, train, evaluate, convert, measure, serve."""
