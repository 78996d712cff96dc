"""The trail of events, and the relationships between entities."""
