"""The systems that can be imported: a description each, and nothing else."""
