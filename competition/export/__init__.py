"""The whole ensemble as one file, and what runs it without torch."""
