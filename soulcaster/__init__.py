"""Feedback in, a short stable list of fixable problems out. This package knows no orchestrator and no screen."""

__version__ = "0.1.0"
