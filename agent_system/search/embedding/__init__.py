"""Embedders: what turns texts into vectors, on this machine or by a service, and one without a model for tests."""
