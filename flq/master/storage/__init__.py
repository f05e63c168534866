"""The run on disk: journal, snapshots, its folder, and how a run is resumed."""
