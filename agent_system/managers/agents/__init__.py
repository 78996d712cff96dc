"""Agents, the tools that they may use, and what they are allowed to do."""
