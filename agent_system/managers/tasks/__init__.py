"""Task trees: states, dependencies, activities, statistics."""
