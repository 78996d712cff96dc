"""Seed 001: the-system's agent_system.db, in the schemas that its repositories, its runner and its scripts made."""
