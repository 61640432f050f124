"""One file a reader: how one input of a case comes from columns or from a file.

Where a file lies and whether it may be read is decided in `data.case_files`. Prepared arrays are kept by
`data.disk_cache`.
"""
