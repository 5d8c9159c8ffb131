"""Services under systemd: what they tell it while they run, and how their units are installed."""
