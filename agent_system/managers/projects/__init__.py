"""Projects and workspaces."""
