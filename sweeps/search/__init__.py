"""What to try next, and when to stop: Optuna's study and samplers over records, memory and objectives."""
