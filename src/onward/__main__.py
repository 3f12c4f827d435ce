"""`python -m onward` is the command line."""

from onward.cli.main import main

main()
