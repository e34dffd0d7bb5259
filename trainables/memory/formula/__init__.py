"""Peak memory by formula: instant, for shards and where no trace can be had."""
