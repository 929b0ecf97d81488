"""Masks as arrays: bit planes, soft targets, components, run lengths, stored arrays."""
