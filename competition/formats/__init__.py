"""File formats: bytes to arrays and tables. Knows nothing of tracks."""
