"""The web service: landing page, Add to Slack, and the dashboard of the person who installed."""
