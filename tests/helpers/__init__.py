"""What several tests need: tiny models, drawn pages, a server to ask, commands to check."""
