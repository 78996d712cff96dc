"""Conversations and messages: what was said, in order."""
