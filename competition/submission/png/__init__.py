"""A zip or folder of PNG masks."""
