"""The real-time fuse guard: plain arithmetic in the gateway's process, which only lowers. Public: `Guard`, `Look`."""

from app.guard.guard import Guard
from app.guard.post import Look

__all__ = ["Guard", "Look"]
