"""Sample quality: sampling, the frozen style judge, and the parts the score is made of."""
