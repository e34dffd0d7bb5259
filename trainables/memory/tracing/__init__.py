"""A training step traced on tensors without storage, and replayed through the allocator's rules."""
