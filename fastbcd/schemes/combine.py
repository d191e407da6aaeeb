"""What ``+`` between schemes does."""

from __future__ import annotations

from fastbcd.schemes.combination import KINDS, POSSIBLE, Combination
from fastbcd.schemes.protocol import Scheme


def combine(*schemes: Scheme) -> Combination:
    """Return the combination of ``schemes``, which may themselves be combinations.

    Raises
    ------
    ValueError
        If they do not go together.
    """
    combined = Combination()
    for scheme in schemes:
        for part in scheme.parts if isinstance(scheme, Combination) else [scheme]:
            name = next((name for name, kind in KINDS.items() if type(part) is kind), None)
            if name is None:
                raise ValueError(f"{part} cannot be combined with others. {POSSIBLE}")
            if getattr(combined, name) is not None:
                raise ValueError(
                    f"{part} cannot be added to {getattr(combined, name)}: a combination holds "
                    f"one scheme of a kind. {POSSIBLE}"
                )
            setattr(combined, name, part)
    if combined.low_rank is not None and combined.tensor_train is not None:
        raise ValueError(f"{combined} would factor the weights twice. {POSSIBLE}")
    return combined


Scheme.combine = staticmethod(combine)
