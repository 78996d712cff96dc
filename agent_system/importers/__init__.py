"""Readers of foreign data: one module per source, each file in one transaction, idempotent."""
