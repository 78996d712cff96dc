"""Files of the project: who used which how often, and the documents among them."""
