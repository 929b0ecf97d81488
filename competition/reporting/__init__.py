"""The report of a data set, its runs and its decision, as one HTML page."""
