"""Generative outlier synthesis for out-of-distribution detection."""

__version__ = "0.1.0"
__all__ = ["load_detector"]


def __getattr__(name: str) -> object:
    """Import what is public when it is asked for: torch takes a second or two."""
    if name in __all__:
        from bood_tasks import deployed

        return getattr(deployed, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
