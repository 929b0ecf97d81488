"""A CSV of run lengths: one row per image and class."""
