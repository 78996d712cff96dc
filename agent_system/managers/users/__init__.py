"""Accounts, and the identities that people have on other platforms."""
