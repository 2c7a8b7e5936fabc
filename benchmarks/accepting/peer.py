"""One peer in a process of its own, on the server that EnableBot runs on: `python -m benchmarks.accepting.peer`."""

import argparse

import uvicorn
from starlette.types import ASGIApp


def app_of(peer: str, *, database_url: str, slack_url: str) -> ASGIApp:
    """Build one; each imports only what it needs, so that its memory is its own."""
    if peer == "bare":
        from benchmarks.accepting.bare import Bare

        return Bare(database_url)
    from benchmarks.accepting import bolt

    if peer == "bolt":
        return bolt.from_memory()
    return bolt.from_store(database_url.replace("postgresql://", "postgresql+asyncpg://", 1), slack_url)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=("bare", "bolt", "bolt_store"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database-url", default="")
    parser.add_argument("--slack-url", default="")
    options = parser.parse_args()
    app = app_of(options.peer, database_url=options.database_url, slack_url=options.slack_url)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=options.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=65,
        backlog=2048,
    )


if __name__ == "__main__":
    main()
