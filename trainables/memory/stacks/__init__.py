"""Training steps of other stacks, traced as our own is: what differs is written down with the source that says so."""
