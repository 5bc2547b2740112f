"""The command line: words in, one step called, a table or one JSON object out."""

from soulcaster.cli.commands import app, main

__all__ = ["app", "main"]
