"""Pages for people with a session; a module a page."""
