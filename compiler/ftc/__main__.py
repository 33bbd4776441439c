"""Run the command line: `python -m ftc`."""

from ftc.cli.main import main

if __name__ == "__main__":
    main()
