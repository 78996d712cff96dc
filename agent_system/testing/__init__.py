"""Helpers that we ship for the tests of those who build on agent_system."""
