"""What it costs: providers, models, prices, tokens, money."""
