"""Models, the training step and how it is shared among devices: what is traced is what trains."""
