"""A person's judgements, kept with the sweep, and how far the number agrees with them."""
