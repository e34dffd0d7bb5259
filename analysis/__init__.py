"""What a sweep means: reads records, draws figures, writes the report. No ray.tune, no search."""
