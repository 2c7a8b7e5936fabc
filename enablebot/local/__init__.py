"""The supervisor that runs database, services and sandbox on one machine, and the story played on it."""
