"""Cluster files looked over offline, and sweeps handed to a cluster as jobs."""
