"""How EnableBot reaches its database, and what it asks of it."""
