"""The forms of submission by name, as the YAML file of a track can choose them."""

from competition.submission.array_zip.form import ArrayZipForm
from competition.submission.form import Form
from competition.submission.run_lengths.form import RunLengthForm
from competition.submission.table.form import TableForm

FORMS: dict[str, Form] = {"run_lengths": RunLengthForm(), "table": TableForm(), "array_zip": ArrayZipForm()}
