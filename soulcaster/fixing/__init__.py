"""What is decided about a fix, pure: where it belongs, what the agent is told, whether a patch may pass."""
