"""Seed 004: agentdb9.db of AgentDB9, as TypeORM made it on SQLite."""
