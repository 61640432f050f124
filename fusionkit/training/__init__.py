"""The training room: settings, the loop, what it leaves on disk, and what it will cost."""
