"""Runs on disk: training a fold, members, imports, first stages, pseudo-labels, leak alarms."""
