"""Links that people shared: what was found out about them, and what is worth another try."""
