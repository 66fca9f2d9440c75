"""Items of a studio as clips that models read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.data import Example, PreparedFrames, parted_labels
from cliplab.studio.queries import ItemFilter, ItemRow

if TYPE_CHECKING:
    from adapters.base import BaseModelAdapter
    from cliplab.studio.store import LabelStore

_PAGE = 2000
_EVERYTHING = ItemFilter()
PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})


def all_items(store: LabelStore, filters: ItemFilter = _EVERYTHING) -> Iterator[ItemRow]:
    """Every item of a store, in the order of their numbers.

    Args:
        store: The label store.
        filters: Which items.
    """
    after = 0
    while page := store.items(after, _PAGE, filters=filters):
        yield from page
        after = page[-1].id


def is_picture(item: ItemRow) -> bool:
    """Whether an item's file is a still picture, by its name.

    Args:
        item: The item.
    """
    return Path(item.path).suffix.lower() in PICTURES


def example_of(store: LabelStore, item: ItemRow, label: str | None = None) -> Example:
    """An item as a clip of a dataset.

    Args:
        store: The label store, for the place of the file.
        item: The item.
        label: Its label, or several as one text; None: it has none.
    """
    path = store.media_path(item)
    source = item.source or str(path)
    labels = () if label is None else parted_labels(label)
    group = item.group or source
    if is_picture(item):  # as the dataset of the studio has it, so that training finds its features
        still = PreparedFrames(path.parent, (path.name,), 1.0)
        return Example(path, labels, group=group, source=source, frames=still)
    start, end = item.start_seconds, item.end_seconds
    if start is not None and end is not None and end <= start:
        end = None
    return Example(path, labels, start, end, group=group, source=source)


def open_for_items(
    model: str | Path,
    items: Sequence[ItemRow],
    overrides: dict[str, Any] | None = None,
    trust_adapters: Sequence[str] = (),
) -> BaseModelAdapter:
    """Open a model for items. One that sees single frames looks once at a picture, and not at copies of it.

    Args:
        model: As for ``adapters.inference.open_model``.
        items: The items.
        overrides: Keys of the config.
        trust_adapters: As for ``open_model``.
    """
    from adapters.inference import open_model

    given = dict(overrides or {})
    adapter = open_model(model, given, trust_adapters)
    still = bool(items) and all(map(is_picture, items))
    if still and adapter.scores_frames and "n_frames" not in given and adapter.input_spec.n_frames > 1:
        adapter = open_model(model, {**given, "n_frames": 1, "sampling": "spread"}, trust_adapters)
    return adapter


def model_name(adapter: BaseModelAdapter, model: str | Path) -> str:
    """What the store calls a model: a name on one line.

    Args:
        adapter: The model.
        model: As it was named.
    """
    from adapters.system import terminal_text

    given = str(adapter.config.get("name") or Path(str(model)).name or "model")
    return terminal_text(given, one_line=True).strip()[:150] or "model"
