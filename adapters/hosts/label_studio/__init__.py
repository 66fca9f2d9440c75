"""Parts of the Label Studio host: labelling configs, videos of tasks, and training."""
