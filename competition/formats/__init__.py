"""File formats: bytes to arrays and tables, independent of any track."""
