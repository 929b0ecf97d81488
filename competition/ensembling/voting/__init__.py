"""Weighted soft voting in exact integers."""
