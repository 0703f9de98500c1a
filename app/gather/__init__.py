"""Store and forecasts → Problem: the only room where pandas meets the optimizer. Public: `Gatherer` and its words."""

from app.gather.gatherer import MAX_TRANSACTIONS, FallbackOnly, Gathered, Gatherer, KnowsLimits, WhatIf

__all__ = ["MAX_TRANSACTIONS", "FallbackOnly", "Gathered", "Gatherer", "KnowsLimits", "WhatIf"]
