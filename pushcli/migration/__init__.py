"""Moving over from Chef Push Jobs: its files are read, and ours are made of them."""
