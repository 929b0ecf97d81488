"""Predictions of other teams: read, matched to the folds, and kept as a member."""
