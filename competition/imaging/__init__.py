"""Pixels: readers, cleaning, label planes and run lengths."""
