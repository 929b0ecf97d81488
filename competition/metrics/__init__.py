"""Scores: Dice from whole-number counts, AUROC from ranks."""
