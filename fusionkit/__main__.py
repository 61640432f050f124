"""`python -m fusionkit` is `fusionkit`."""

from fusionkit.cli.parser import main

if __name__ == "__main__":
    raise SystemExit(main())
