"""What several suites use; a suite imports nothing from another one."""
