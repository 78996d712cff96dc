"""Every difference between SQLite and PostgreSQL that the engine room has to know."""
