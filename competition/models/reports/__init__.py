"""The networks of the reports the project is built on."""
