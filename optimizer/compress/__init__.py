"""A plan in so few periods that every charging station can hold it, and what that loses."""

from optimizer.compress.compression import Compression, Method, compress, periods_of

__all__ = ["Compression", "Method", "compress", "periods_of"]
