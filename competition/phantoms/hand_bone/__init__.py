"""Synthetic hands in the form of the hand-bone data."""
