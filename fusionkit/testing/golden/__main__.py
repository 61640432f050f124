"""`python -m fusionkit.testing.golden ID FILE` is `fusionkit weights verify ID FILE`."""

from fusionkit.cli.commands.weights_verify import main

if __name__ == "__main__":
    raise SystemExit(main())
