"""Seed 000: the databases of tomcounsell/ai, before and after they became one."""
