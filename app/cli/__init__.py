"""The command line: one module a subject, put together in `main`."""
