"""The verbs: one module per stage, each short enough to read at one sitting."""
