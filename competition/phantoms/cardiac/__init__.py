"""Synthetic heart slices in the forms of the cardiac data."""
