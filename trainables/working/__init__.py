"""The worker of a trial: a job in, a report out."""
