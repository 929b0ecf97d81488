"""The stages of the command line, one short module each, and what only they use."""
