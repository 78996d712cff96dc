"""Reviews: when one is due, how well things do, and what could be done better."""
