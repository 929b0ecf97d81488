"""What a run will need before it starts: memory, seconds and work of a step, disk, and what fits a machine."""
