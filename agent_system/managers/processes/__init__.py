"""Processes and their runs."""
