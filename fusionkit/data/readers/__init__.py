"""One file per reader: how one input of a case is read from columns or from a file.

Paths and access are checked in `data.case_files`. Prepared arrays are cached by `data.disk_cache`.
"""
