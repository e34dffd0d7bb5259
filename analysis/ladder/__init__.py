"""What small sizes say about large ones: fits, intervals, the gate before the next rung, frozen predictions."""
