"""All items of a list in a few bytes each, so that a page can move among 100,000 of them without asking."""

from __future__ import annotations

import sys
from array import array

from cliplab.studio.queries import ItemFilter, conditions
from cliplab.studio.store import LabelStore

# Bits of the flags.
DISAGREE, FLAGGED, MISSING, OPEN, VIDEO = 1, 2, 4, 8, 16
OTHER_LABEL = 0xFFFF  # labelled with a class that is offered no more


def read_index(store: LabelStore, filters: ItemFilter, annotator: str) -> bytes:
    """Return the numbers, own labels and flags of items, in the order of their numbers.

    Args:
        store: The label store.
        filters: Which items.
        annotator: Whose labels; those of others are not in it, because two people label without seeing each other's.

    Returns:
        Little-endian: for N items N uint32 of numbers, N uint16 of labels (0 for none, otherwise the class's place from
        1, or ``OTHER_LABEL``), and N uint8 of flags.
    """
    where, values = conditions(filters)
    query = (
        "SELECT items.id, CASE WHEN own.label IS NULL THEN 0 ELSE coalesce(classes.position + 1, :other) END, "
        "items.disagree + 2 * items.flagged + 4 * (items.missing IS NOT NULL) + 8 * (items.done < items.wanted) "
        "+ 16 * (items.kind = 'video') FROM items "
        "LEFT JOIN current_labels AS own ON own.item = items.id AND own.annotator = ? "
        "LEFT JOIN classes ON classes.name = own.label AND NOT classes.retired "
    ).replace(":other", str(OTHER_LABEL))
    numbers, labels, flags = array("I"), array("H"), array("B")
    with store.reading() as connection:
        for number, label, bits in connection.execute(f"{query} WHERE {where} ORDER BY items.id", (annotator, *values)):
            numbers.append(number)
            labels.append(label)
            flags.append(bits)
    if sys.byteorder == "big":
        numbers.byteswap()
        labels.byteswap()
    return numbers.tobytes() + labels.tobytes() + flags.tobytes()
