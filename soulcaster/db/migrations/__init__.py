"""Ordered SQL files, one transaction each, forward only."""
