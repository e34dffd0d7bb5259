"""Peak memory as a device or the profiler counts it. Nothing here is predicted."""
