"""The whitelist: entries, patterns, signatures; shared by all parts."""
