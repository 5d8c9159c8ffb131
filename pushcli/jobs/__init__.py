"""Jobs as the operator sees them: started, watched, shown."""
