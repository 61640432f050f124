"""Published graphs: `NAME.yaml` in this folder is built as `NAME`."""
