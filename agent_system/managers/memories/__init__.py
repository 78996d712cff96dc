"""Memories: what agents remember, how it is found again, and how it is kept in order."""
