"""Cluster files checked offline, and sweeps handed to a cluster as jobs."""
