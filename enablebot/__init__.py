"""EnableBot: a multi-tenant Slack assistant that answers from a workspace's own knowledge."""

__version__ = "0.1.0"
