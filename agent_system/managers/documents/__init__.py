"""Context documents and their versions."""
