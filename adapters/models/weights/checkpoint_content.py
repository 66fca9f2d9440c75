"""Which of a checkpoint's dicts holds the weights: training programs keep them beside an optimizer and its settings.

The keys are those of torchvision's references, timm, PyTorch Lightning, fastai, mmcv, YOLO, BasicSR and DINO.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from adapters.models.weights.pickle_objects import Opaque, RefusedPickleError, Tensor

# Under which a state dict may lie, nested in any order; those of averaged weights come first, as they are the ones
# that a training measures itself by (timm's load_checkpoint prefers them too).
AVERAGED = ("ema_state_dict", "state_dict_ema", "model_ema", "ema_model", "params_ema", "ema", "teacher")
CONTAINERS = (
    *AVERAGED,
    "model_state_dict",
    "model_state",
    "state_dict",
    "model",
    "net",
    "network",
    "params",
    "weights",
    "module",
    "student",
)
_MAX_DEPTH = 4


def find_tensors(content: object, on_note: Callable[[str], object] | None = None) -> dict[str, Tensor]:
    """The state dict in a checkpoint's content.

    It is the content itself, or lies under one of CONTAINERS. Of several the averaged one (EMA) is taken, otherwise the
    one with the most tensors. Entries of it that are plain values, such as ``_metadata`` or a version, are left out.

    Args:
        content: What ``run_pickle`` returned.
        on_note: Receives a sentence where there are several, about the one that was taken.

    Raises:
        RefusedPickleError: There is none, or something that cannot be read is in a tensor's place; the reason names it.
    """
    if isinstance(content, Opaque):
        raise RefusedPickleError(
            f"it holds a whole object of {content.name!r:.80}, which is code, not only weights; a dict of "
            "tensors is expected"
        )
    if not isinstance(content, dict) or not content:
        raise RefusedPickleError(f"it holds a {type(content).__name__}; a dict of tensors is expected")
    found = _state_dicts(content)
    if not found:
        raise _without_tensors(content)
    path = min(found, key=lambda path: (not _is_averaged(path), -len(_tensors(found[path])), len(path)))
    others = [".".join(other) for other in found if other != path and other]
    if others and on_note is not None:
        taken = ".".join(path) or "its outer dict"
        on_note(f"holds several state dicts: {taken!r} is used, not {', '.join(map(repr, others))}")
    return _require_tensors(found[path])


def _state_dicts(content: Mapping[object, object]) -> dict[tuple[str, ...], Mapping[object, object]]:
    """Every dict that has tensors, by the keys that lead to it. The outer one counts only if no inner one has some."""
    found: dict[tuple[str, ...], Mapping[object, object]] = {}
    waiting: list[tuple[tuple[str, ...], Mapping[object, object]]] = [((), content)]
    seen: set[int] = set()  # a dict may hold itself, under every name
    while waiting:
        path, value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        inner = [(key, item) for key in CONTAINERS if isinstance(item := value.get(key), dict)]
        if len(path) < _MAX_DEPTH:
            waiting += [((*path, key), item) for key, item in inner]
        if _tensors(value):
            found[path] = value
    return {path: value for path, value in found.items() if path or len(found) == 1}


def _tensors(value: Mapping[object, object]) -> dict[str, Tensor]:
    return {key: item for key, item in value.items() if isinstance(key, str) and isinstance(item, Tensor)}


def _is_averaged(path: tuple[str, ...]) -> bool:
    return any(key in AVERAGED for key in path)


def _require_tensors(value: Mapping[object, object]) -> dict[str, Tensor]:
    for key, item in value.items():
        if isinstance(item, Opaque) and not str(key).endswith("_extra_state"):  # of modules that keep settings there
            raise RefusedPickleError(
                f"entry {_shown(key)} is an object of {item.name!r:.80}, which is not supported; a tensor is expected"
            )
    return _tensors(value)


def _shown(key: object) -> str:
    """A key for a message; Python writes no number of thousands of digits."""
    try:
        return repr(key)[:60]
    except ValueError:
        return "a number of thousands of digits"


def _without_tensors(content: Mapping[object, object]) -> RefusedPickleError:
    for key, item in content.items():
        if isinstance(item, Opaque):
            return RefusedPickleError(
                f"entry {_shown(key)} is an object of {item.name!r:.80}, which is not supported; a tensor or a state "
                "dict is expected"
            )
    listed = ", ".join(_shown(key) for key in list(content)[:8])
    return RefusedPickleError(
        f"it holds no tensors: its keys are {listed}; a state dict is searched under {', '.join(CONTAINERS)}"
    )
