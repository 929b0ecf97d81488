"""Submissions, their validator, and the leaderboard."""
