"""What tools and agents did, and how it went."""
