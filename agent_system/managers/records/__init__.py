"""Logs, goals and to-do lists."""
