"""Games that people play with an agent."""
