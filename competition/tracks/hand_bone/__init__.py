"""The hand-bone track: 29 overlapping bones on X-rays."""
