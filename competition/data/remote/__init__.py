"""Data at an address: what lies there, and its copy in the workspace."""
