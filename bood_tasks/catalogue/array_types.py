"""jaxtyping's names for annotations of arrays, at no cost where nothing checks them.

They are checked by an import hook alone, which imports jaxtyping first. Elsewhere an annotation
says no more than its array's type: who scores pictures by onnxruntime needs no jaxtyping, and does
not wait for it.
"""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Float, Int, Int32, Int64, UInt8
else:

    class _Unchecked:
        def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
            return item[0]

    Float = Int = Int32 = Int64 = UInt8 = _Unchecked

__all__ = ["Float", "Int", "Int32", "Int64", "UInt8"]
