"""How images and classes are dealt out to parts."""

import numpy as np

from simnb import _checks


def shares(fractions):
    """The values of fractions by name, or ValueError where they do not add up to at most 1."""
    for name, value in fractions.items():
        _checks.number(value, name=name, at_least=0, at_most=1)
    total = sum(fractions.values())
    if not 0 < total <= 1 + 1e-9:
        asked = ", ".join(f"{name}={value}" for name, value in fractions.items())
        raise ValueError(f"fractions must add up to at most 1 and to more than 0, got {asked}")
    return list(fractions.values())


def would_do(fractions, by_class):
    """Fractions near the given ones that give each part, or as many as can, an example of each class."""
    fewest = min(len(positions) for _, positions in by_class)
    # Where images are too few for all parts, leave out training first, then calibration.
    kept = [name for name in ("gallery", "query", "calibration", "train") if fractions[name] > 0][:fewest]
    sizes = {name: max(round(fractions[name] * fewest), 1) for name in kept}
    while sum(sizes.values()) > fewest:
        sizes[max(sizes, key=sizes.get)] -= 1
    scale = 10 ** (len(str(fewest)) + 2)
    # Rounded down, so that they add up to no more than 1.
    asked = {name: sizes.get(name, 0) * scale // fewest / scale for name in fractions}
    return ", ".join(f"{name}={f'{value!r}'.removesuffix('.0')}" for name, value in asked.items())


def every_group(groups, fractions, rng):
    """Positions of the classes of each part: of every group about the same fractions."""
    # Group after group, each shuffled: a part that takes classes at even steps gets its share of every group.
    turns = rng.permutation(groups.max() + 1)
    order = rng.permutation(len(groups))
    order = order[np.argsort(turns[groups[order]], kind="stable")]
    parts, left = [], 1.0
    for fraction in fractions:
        share = min(1.0, fraction / left) if fraction else 0.0
        taken = np.diff(np.floor(np.arange(len(order) + 1) * share + 0.5)) > 0
        parts.append(order[taken])
        order, left = order[~taken], left - fraction
    return parts


def whole_groups(groups, fractions, rng):
    """Positions of the classes of each part: of every group all in one part, or in none."""
    sizes = np.bincount(groups)
    # What is in no part is dealt too, each group to where most is missing: the large ones mostly first, so
    # that the small ones even it out; not strictly, or every seed would deal alike.
    missing = np.append(fractions, max(0.0, 1.0 - fractions.sum())) * len(groups)
    parts = np.empty(len(sizes), np.int64)
    for group in np.argsort(-sizes * rng.uniform(0.5, 1, len(sizes))):
        parts[group] = np.argmax(missing)
        missing[parts[group]] -= sizes[group]
    return [np.flatnonzero(parts[groups] == part) for part in range(len(fractions))]
