"""Pictures of samples: outlines, tiles and contact sheets."""
