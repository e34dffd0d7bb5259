"""Pages served on loopback behind a token: the live board and the judge's."""
