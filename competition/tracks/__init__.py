"""What is competed in. One file per track; a track is data plus how its samples are listed and read."""
