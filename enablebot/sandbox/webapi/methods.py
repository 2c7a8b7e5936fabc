"""Every method this Slack plays."""

from __future__ import annotations

from types import MappingProxyType

from enablebot.sandbox.webapi import (
    agents,
    apps,
    chat,
    conversations,
    directory,
    files,
    reactions,
    streaming,
    views,
)
from enablebot.sandbox.webapi.call import Method

METHODS = MappingProxyType(
    {
        method.name: method
        for family in (agents, apps, chat, conversations, directory, files, reactions, streaming, views)
        for method in family.METHODS
    }
)

__all__ = ["METHODS", "Method"]
