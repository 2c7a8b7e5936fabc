"""From a question to exactly one answer in Slack."""
