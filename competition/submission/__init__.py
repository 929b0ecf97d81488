"""Submission forms, the leaderboard, and what they share."""

from competition.submission.array_zip.form import ArrayZipForm
from competition.submission.form import Form
from competition.submission.run_lengths.form import RunLengthForm
from competition.submission.table.form import TableForm

FORMS: dict[str, Form] = {"run_lengths": RunLengthForm(), "table": TableForm(), "array_zip": ArrayZipForm()}
"""Forms by the name that the YAML file of a track uses."""
