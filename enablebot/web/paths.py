"""The addresses of this service; the ones Slack and bookmarks know never change."""

HOME = "/"
INSTALL = "/slack/install"
OAUTH_REDIRECT = "/slack/oauth_redirect"
DASHBOARD = "/dashboard"
KNOWLEDGE = "/dashboard/knowledge"
KNOWLEDGE_SEARCH = "/dashboard/knowledge/search"
LOGOUT = "/logout"

# What templates call them.
BY_NAME = {
    "home": HOME,
    "install": INSTALL,
    "dashboard": DASHBOARD,
    "knowledge": KNOWLEDGE,
    "knowledge_search": KNOWLEDGE_SEARCH,
    "logout": LOGOUT,
}
