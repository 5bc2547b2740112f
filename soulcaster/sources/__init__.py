"""Payloads of each source to items: pure parsers, and readers of files and inbox."""
