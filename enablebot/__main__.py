"""`python -m enablebot`."""

from enablebot.cli import main

raise SystemExit(main())
