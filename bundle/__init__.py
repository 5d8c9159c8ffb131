"""Makes the archive that an agent is installed from where no package index is in reach."""
