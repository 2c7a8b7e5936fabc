"""One module a format: `prepare` imports whatever reading may need, `read` turns the bytes into blocks."""
