"""What to try: one file per question, and the engine they share."""
