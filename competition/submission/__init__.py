"""Submission files of each form, and the leaderboard."""
