"""Tasks: what heads predict."""
