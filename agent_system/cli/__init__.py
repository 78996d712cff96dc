"""The command `agent-system`: a thin front end over the facade, the only place that knows typer and rich."""
