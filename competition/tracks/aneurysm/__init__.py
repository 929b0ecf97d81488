"""The aneurysm track: eight angiograms per patient."""
