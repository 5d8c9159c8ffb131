"""Users, clients, groups and their keys as administrators manage them."""
