"""Prompts, their versions and labels, and filling them in."""
