"""The lumbar track: vertebrae on lateral radiographs."""
