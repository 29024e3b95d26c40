"""`python -m kdtheory` is the command `kdtheory`."""

from kdtheory.cli import main

main()
