"""Every difference between the engines: SQLite and PostgreSQL behind one interface."""
