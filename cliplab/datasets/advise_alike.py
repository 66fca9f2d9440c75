"""Clips that look alike: re-encoded copies, and groups that the dataset does not name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cliplab.datasets.advise_looks import Looks

IntArray = npt.NDArray[np.int64]

# Colours of two clips agree from here on (Bhattacharyya coefficient), from nearly the same picture to the same place.
# Of 102 clips of about 20 sources, single link at 0.85 to 0.90 found the sources best (adjusted Rand index 0.92).
LEVELS = (0.95, 0.90, 0.85, 0.80)
PROPOSED = (0.85, 0.90, 0.95)  # the coarsest that can be judged is proposed
# Copies: the colours agree, and frame by frame the pictures differ less than they move.
_COPY_COLOURS = 0.95
_COPY_GREYS = 2.5
_COPY_OF_MOTION = 0.35
_COPY_OF_CONTRAST = 0.15
_MOST_COPIES = 2000
_CHUNK = 512


@dataclass(frozen=True)
class Tree:
    """The links that join all clips with the largest likeness (a spanning tree): single-link groups at every level.

    Attributes:
        ends: int64 [N - 1, 2], the clips of each link.
        likeness: float32 [N - 1].
    """

    ends: IntArray
    likeness: npt.NDArray[np.float32]


def likeness_tree(looks: Looks) -> Tree:
    """Link clips by their colours (Prim 1957; its links are those of single-link clustering, Gower and Ross 1969).

    Args:
        looks: N clips.
    """
    count, colours = looks.count, looks.colours
    best, parent = np.full(count, -1.0, np.float32), np.zeros(count, np.int64)
    outside = np.ones(count, bool)
    ends, likeness = [], []
    current = 0
    for _ in range(count - 1):
        outside[current] = False
        found = colours @ colours[current]
        nearer = outside & (found > best)
        best[nearer], parent[nearer] = found[nearer], current
        current = int(np.where(outside, best, -2.0).argmax())
        ends.append((int(parent[current]), current))
        likeness.append(best[current])
    return Tree(np.array(ends, np.int64).reshape(-1, 2), np.array(likeness, np.float32))


def groups_alike(tree: Tree, groups: IntArray, level: float) -> IntArray:
    """Groups of clips that look alike; clips of one given group stay together.

    Args:
        tree: The links of N clips.
        groups: int64 [N], the groups as they are.
        level: Clips at least this alike are joined.

    Returns:
        int64 [N], numbers of the joined groups, from 0.
    """
    return joined(groups, tree.ends[tree.likeness >= level])


def joined(groups: IntArray, pairs: npt.NDArray[np.int64] | Sequence[tuple[int, int]]) -> IntArray:
    """Groups with those of each pair of clips made one.

    Args:
        groups: int64 [N].
        pairs: int [P, 2], clips.

    Returns:
        int64 [N], from 0.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    _, names = np.unique(groups, return_inverse=True)
    names = names.reshape(-1)
    count = int(names.max(initial=-1)) + 1
    ends = names[np.asarray(pairs, np.int64).reshape(-1, 2)]
    links = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    return np.asarray(connected_components(links, directed=False)[1][names], np.int64)


def find_copies(looks: Looks) -> tuple[list[tuple[int, int]], bool]:
    """Pairs of clips that show the same, frame by frame, though their files differ.

    Args:
        looks: N clips.

    Returns:
        Pairs of clips, the first before the second, and whether there were more than can be listed.
    """
    flat = looks.pictures.reshape(looks.count, -1)
    motion = np.sqrt(np.square(looks.pictures - looks.pictures.mean(axis=1, keepdims=True)).mean(axis=(1, 2)))
    contrast = flat.std(axis=1)
    # What is still and what is flat may differ by the noise of an encoder.
    most = np.maximum(_COPY_GREYS, np.minimum(_COPY_OF_MOTION * motion, _COPY_OF_CONTRAST * contrast))
    found: list[tuple[int, int]] = []
    for start in range(0, looks.count, _CHUNK):
        rows = slice(start, start + _CHUNK)
        one, other = np.nonzero(looks.colours[rows] @ looks.colours.T >= _COPY_COLOURS)
        one = one + start
        later = other > one
        one, other = one[later], other[later]
        for part in range(0, len(one), 20_000):
            a, b = one[part : part + 20_000], other[part : part + 20_000]
            apart = np.sqrt(np.square(flat[a] - flat[b]).mean(axis=1))
            same = apart <= np.minimum(most[a], most[b])
            found += zip(a[same].tolist(), b[same].tolist(), strict=True)
            if len(found) > _MOST_COPIES:
                return found[:_MOST_COPIES], True
    return found, False
