"""Losses, schedules, checkpoints and the loop."""
