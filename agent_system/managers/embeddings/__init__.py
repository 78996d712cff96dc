"""Embeddings: the vectors of texts, made later, counted and cleared."""
