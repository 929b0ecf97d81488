"""Metrics of counts (Dice, IoU), masks (distances, objects) and tables (AUROC, F1, kappa), named in ``METRICS``."""
