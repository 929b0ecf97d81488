"""A CSV of run lengths with one row per object."""
