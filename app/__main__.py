"""`python -m app` is `smartcharge`."""

from app.cli import main

if __name__ == "__main__":
    main()
