"""The cardiac track: the left ventricle on short-axis slices."""
