"""`python -m driftline.cli`: the same as `driftline`."""

from driftline.cli.app import main

main()
