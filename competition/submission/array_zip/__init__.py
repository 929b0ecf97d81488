"""A zip with one array of 0 and 1 per image."""
