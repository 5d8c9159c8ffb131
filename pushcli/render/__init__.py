"""How things look: text, JSON and YAML; nothing here talks to the server."""
