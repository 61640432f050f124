"""`python -m fusionkit.testing.golden ID FILE` is `fusionkit weights verify ID FILE`."""

import sys

from fusionkit.cli.parser import main

if __name__ == "__main__":
    raise SystemExit(main(["weights", "verify", *sys.argv[1:]]))
