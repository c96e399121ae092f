"""Helpers of several tests: tiny models, synthetic pages, a server, checks of commands."""
