"""Property tests try the same examples in every `make test`, and new ones in `make explore`.

What explore finds becomes a test of its own; a run that checks somebody's change does not fail over something else.
"""

import os

from hypothesis import settings

settings.register_profile("fixed", derandomize=True)
settings.register_profile("explore")
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))
