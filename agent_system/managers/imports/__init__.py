"""The books of what was brought over from older systems."""
