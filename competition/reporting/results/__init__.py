"""The section on results: the honest scores, and where they come from."""
