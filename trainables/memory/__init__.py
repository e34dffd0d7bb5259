"""Peak memory: measured by phase, predicted before launch."""
