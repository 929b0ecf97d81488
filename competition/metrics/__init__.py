"""Count metrics (Dice, IoU, F-beta) and table metrics (AUROC), named in ``metric.METRICS``."""
