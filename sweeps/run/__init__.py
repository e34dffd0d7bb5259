"""A sweep as it runs: prepared, launched through Tune, each trial attempted until it has its record."""
