"""The Tab key: what may come next on the operator's command line."""
