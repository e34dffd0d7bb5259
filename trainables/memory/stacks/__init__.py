"""Training steps of other stacks, traced as this project's own is; each difference names its source."""
