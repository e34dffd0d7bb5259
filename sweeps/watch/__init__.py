"""A sweep as others see it: the terminal's table, gauges, actor names, and wandb."""
