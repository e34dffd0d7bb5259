"""A run of training steps: loop, rehearsal, checkpoints and the tuned model."""
