"""How one trial runs: models, the training step, checkpoints, records, memory and quality. No ray.tune, no optuna."""
