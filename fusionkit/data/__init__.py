"""Cases from files: what a run learns from, read, checked and prepared."""
