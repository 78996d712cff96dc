"""Scopes: a facade that reads, counts and changes only what belongs to one user, agent, guild, project or session."""
