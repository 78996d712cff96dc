"""What agents have promised, and how far each chat has been read."""
