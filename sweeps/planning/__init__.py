"""What a sweep is before it runs: its options, questions, points, layout and the devices it is for."""
