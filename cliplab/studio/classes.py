"""The classes of a studio, and the key on the keyboard of each."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.data import SEPARATOR, clean_label, joined_labels, parted_labels, spelling_key
from adapters.errors import DatasetError
from adapters.system import nearest_hint, quoted_list
from cliplab.studio.events import check_name, label_names

# Keys that every page uses: play and shuttle, in and out, next cut, repeat, unlabelled, uncertain, flag, note, undo.
RESERVED_KEYS = frozenset("ijklnorufxmz")
MAX_CLASSES = 10_000


@dataclass(frozen=True)
class LabelClass:
    """A class that items are labelled with.

    Attributes:
        name: Its name.
        key: The key that labels an item with it, a lower-case letter or a digit; "" where all are taken.
        position: Its place in the order of the classes, from 0.
        retired: Whether it is offered no more; labels that have it stay.
    """

    name: str
    key: str
    position: int
    retired: bool


def assign_keys(names: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    """The key of each name: the first letter of its name that is free, otherwise the first free digit from 1 to 9.

    Args:
        names: The classes in their order.
        taken: Keys that are in use.

    Returns:
        A key for each name; "" where all are taken.
    """
    used = {*taken, *RESERVED_KEYS}
    keys = []
    for name in names:
        letters = (mark for mark in name.lower() if "a" <= mark <= "z")
        key = next((mark for mark in (*letters, *"123456789") if mark not in used), "")
        used.add(key)
        keys.append(key)
    return keys


def read_classes(connection: sqlite3.Connection, retired: bool = False) -> list[LabelClass]:
    """The classes in their order.

    Args:
        connection: The open database.
        retired: Whether those that are offered no more are among them, at the end.
    """
    rows = connection.execute("SELECT name, key, position, retired FROM classes ORDER BY retired, position, name")
    return [LabelClass(name, key, place, bool(gone)) for name, key, place, gone in rows if retired or not gone]


def write_classes(connection: sqlite3.Connection, names: Sequence[str]) -> list[str]:
    """Set the classes and their order. A class that is not among the names is retired, and its labels stay.

    Args:
        connection: A database in a transaction.
        names: All classes in their order.

    Returns:
        A sentence for each class that is retired while items are labelled with it.

    Raises:
        DatasetError: A name is not allowed, or is given twice.
    """
    names = checked_names(names)
    known = {one.name: one for one in read_classes(connection, retired=True)}
    former = dict(connection.execute("SELECT alias, name FROM class_aliases"))
    for name in names:
        if name in former and name not in known:
            raise DatasetError(
                f"class {name!r} was renamed to {former[name]!r}, so labels of both could not be distinguished. "
                "Rename that class back, or choose another name."
            )
    keys = {name: known[name].key for name in names if name in known and not known[name].retired}
    new = [name for name in names if name not in keys]
    keys |= dict(zip(new, assign_keys(new, list(keys.values())), strict=True))
    connection.execute("UPDATE classes SET retired = 1, key = ''")
    connection.executemany(
        "INSERT INTO classes VALUES (?, ?, ?, 0) ON CONFLICT (name) DO UPDATE SET key = excluded.key, "
        "position = excluded.position, retired = 0",
        [(name, keys[name], place) for place, name in enumerate(names)],
    )
    used = _uses(connection)
    return [
        f"class {name!r} is retired, but {used[name]:,} labels use it; they are unchanged. To give them "
        "another name: cliplab label rename OLD NEW --data-dir DIR."
        for name, one in known.items()
        if name not in keys and not one.retired and name in used
    ]


def _uses(connection: sqlite3.Connection) -> Counter[str]:
    """How many labels and intervals there are of each class."""
    found: Counter[str] = Counter()
    for table in ("current_labels", "current_intervals"):
        for text, count in connection.execute(f"SELECT label, count(*) FROM {table} GROUP BY label"):
            found.update(dict.fromkeys(parted_labels(text), count))
    return found


def checked_names(names: Sequence[str]) -> list[str]:
    """The names of classes without spaces around them.

    Args:
        names: As they were typed.

    Raises:
        DatasetError: A name is not allowed, or two differ in capitals only.
    """
    if isinstance(names, str) or len(names) > MAX_CLASSES:
        raise DatasetError(f"classes must be a list of up to {MAX_CLASSES:,} names")
    for name in names:
        check_name(name, "the name of a class")
    cleaned = [clean_label(name) for name in names]
    seen: dict[str, str] = {}
    for name in cleaned:
        if (other := seen.get(spelling_key(name))) is not None:
            raise DatasetError(f"classes {other!r} and {name!r} are the same class. List it once.")
        seen[spelling_key(name)] = name
    return cleaned


def rename(connection: sqlite3.Connection, old: str, new: str) -> None:
    """Give a class another name. Labels follow; events keep the name that was typed.

    Args:
        connection: A database in a transaction.
        old: Its present name.
        new: Its new name.

    Raises:
        DatasetError: There is no such class, or the new name is another class.
    """
    [new] = checked_names([new])
    known = [one.name for one in read_classes(connection, retired=True)]
    if old not in known:
        raise DatasetError(f"{old!r:.80} is not a class of this studio{nearest_hint(str(old), known)}")
    if new == old:
        return
    former = dict(connection.execute("SELECT alias, name FROM class_aliases"))
    if new in known or former.get(new, old) != old:
        raise DatasetError(
            f"{new!r} is or was another class; labels of both could not be distinguished afterwards. Choose another "
            "name."
        )
    connection.execute("DELETE FROM class_aliases WHERE alias = ?", (new,))
    connection.execute("UPDATE class_aliases SET name = ? WHERE name = ?", (new, old))
    connection.execute("INSERT INTO class_aliases VALUES (?, ?)", (old, new))
    key = connection.execute("SELECT key, retired FROM classes WHERE name = ?", (old,)).fetchone()
    taken = [one.key for one in read_classes(connection) if one.name != old]
    connection.execute(
        "UPDATE classes SET name = ?, key = ? WHERE name = ?",
        (new, "" if key[1] else assign_keys([new], taken)[0], old),
    )
    for table in ("current_labels", "current_reviews", "current_intervals", "scores", "top_scores"):
        connection.execute(f"UPDATE {table} SET label = ? WHERE label = ?", (new, old))
    for table in ("current_labels", "current_reviews"):
        several = connection.execute(
            f"SELECT DISTINCT label FROM {table} WHERE instr(label, ?)", (SEPARATOR,)
        ).fetchall()
        changed = [
            (joined_labels(new if one == old else one for one in parted_labels(text)), text) for (text,) in several
        ]
        connection.executemany(f"UPDATE {table} SET label = ? WHERE label = ?", changed)


def label_text(connection: sqlite3.Connection, value: Mapping[str, Any]) -> str:
    """What the present state holds of an event that labels an item: see ``adapters.data.joined_labels``.

    Args:
        connection: The open database.
        value: Of the event.

    Raises:
        DatasetError: A label is not a class.
    """
    return joined_labels([class_of(connection, name) for name in label_names(value)])


def class_of(connection: sqlite3.Connection, label: str) -> str:
    """The present name of the class that a label means.

    Args:
        connection: The open database.
        label: A present or former name, also of a retired class.

    Raises:
        DatasetError: No class has or had that name.
    """
    label = clean_label(label)
    found = connection.execute(
        "SELECT name FROM classes WHERE name = ?1 UNION ALL SELECT name FROM class_aliases WHERE alias = ?1", (label,)
    ).fetchone()
    if found is None:
        names = [one.name for one in read_classes(connection)]
        raise DatasetError(
            f"{label!r:.80} is not a class of this studio{nearest_hint(label, names)}; "
            f"its classes: {quoted_list(names) or 'none yet'}"
        )
    return str(found[0])
