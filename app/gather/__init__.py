"""Store and forecasts → Problem: the only room where pandas meets the optimizer. Public: `Gatherer` and its words."""

from app.gather.gatherer import MAX_TRANSACTIONS, FallbackOnly, Gathered, Gatherer, KnowsLimits, WhatIf
from app.gather.load_fits import LoadFits, Refitting

__all__ = ["MAX_TRANSACTIONS", "FallbackOnly", "Gathered", "Gatherer", "KnowsLimits", "LoadFits", "Refitting", "WhatIf"]
