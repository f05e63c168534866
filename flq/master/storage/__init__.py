"""The run on disk: journal, snapshots, folder, and resuming."""
