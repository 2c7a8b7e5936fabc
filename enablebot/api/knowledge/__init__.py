"""What happens to documents in the background: read, stored as passages, fetched from Slack."""
