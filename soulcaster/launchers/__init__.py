"""Where the agent runs. Each launcher starts the same entry on the same job folder; none looks at what it does."""
