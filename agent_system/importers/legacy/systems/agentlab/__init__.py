"""Seed 002: agentlab.db (also amiga.db) of AMIGA, schema 13 and 14 and what came before."""
