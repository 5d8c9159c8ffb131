"""The agent's link to its server: configuration, messages in and out."""
