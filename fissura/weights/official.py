"""The originals' checkpoints as our networks: read without running them, checked by entry name."""

from __future__ import annotations

import hashlib
import math
import os
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fissura.models import MODELS
from fissura.models.building import build_network, check_arguments
from fissura.sources import shown
from fissura.types import InputError
from fissura.weights import ModelCard
from fissura.weights.checkpoints import Checkpoint, open_checkpoint
from fissura.weights.detectors import (
    CLASS_LAYERS,
    DETECTORS,
    backbone_of_yolox,
    classes_told,
    without_unused,
)
from fissura.weights.imagenet import COUNTER, STARTS, from_imagenet
from fissura.weights.network import load_module, new_card, save_safetensors
from fissura.weights.origins import looks_like, use_of
from fissura.weights.pickles import (
    Foreign,
    Storage,
    StoredTensor,
    UnreadableError,
    plainly,
    told,
)
from fissura.weights.unets import (
    card_notes,
    complete_arguments,
    part_of_cssr,
    without_second_names,
)

CONTAINERS = ("ema", "state_dict", "model")
MOST_SHARED = 8
"""How many names a number may have on average; in a U-Net's encoder it has two."""
HEADS = {"cgnet": "decode_head."} | dict.fromkeys(DETECTORS, CLASS_LAYERS)
"""Names of the last layer, which may be one of other classes where that is asked for."""


@dataclass(frozen=True)
class Imported:
    """What `import_weights` wrote: the card, and the entries taken and left out."""

    card: ModelCard
    taken: int
    left_out: tuple[str, ...]


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The state dict in a torch checkpoint; nothing that the file names is run or imported.

    Takes it out of a container of OpenMMLab or the like, and `module.` off its names.
    """
    with open_checkpoint(path) as checkpoint:
        entries = _entries(checkpoint.tree)
        reader = _TensorReader(checkpoint)
        state = {name: reader.tensor(name, value) for name, value in entries.items()}
        reader.check_sharing(state)
    prefix = "module."
    if all(name.startswith(prefix) for name in state):
        state = {name.removeprefix(prefix): values for name, values in state.items()}
    return state


def _entries(tree: object) -> dict[str, object]:
    for name in CONTAINERS:
        if isinstance(tree, dict) and isinstance(tree.get(name), dict | Foreign):
            tree = tree[name]
    if isinstance(tree, Foreign) and tree.is_network:
        raise UnreadableError(
            f"is a whole network ({tree}), which only its own program could run; "
            "save the state dict with that: torch.save(network.state_dict(), FILE)"
        )
    if isinstance(tree, dict) and any(isinstance(x, StoredTensor | Foreign) for x in tree.values()):
        return tree
    raise UnreadableError(
        f"holds no state dict but {_described(tree)}; nothing in it was run{_mend(tree)}"
    )


def _described(tree: object) -> str:
    if isinstance(tree, dict):
        return f"a dictionary of {_some([*map(told, tree)])}" if tree else "an empty dictionary"
    return plainly(tree)


def _mend(tree: object) -> str:
    """What to do where a state dict stands under another name."""
    for name, inner in tree.items() if isinstance(tree, dict) else ():
        if isinstance(inner, dict) and any(isinstance(x, StoredTensor) for x in inner.values()):
            key = told(name)
            return f"; save what is under {key} by itself: torch.save(checkpoint[{key}], FILE)"
    return ""


class _TensorReader:
    """Turns descriptions into tensors once their extent is checked against what is stored."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._rows: dict[Storage, Tensor] = {}

    def tensor(self, name: str, stored: object) -> Tensor:
        """One entry, sharing memory with others as it did when it was saved."""
        try:
            if not isinstance(stored, StoredTensor):
                raise UnreadableError(
                    f"is {_described(stored)}, not a plain tensor; nothing in the file was run"
                )
            _check_extent(stored)
            row = self._row(stored.storage)
        except UnreadableError as reason:
            raise UnreadableError(f"entry {told(name)} {reason}") from None
        return row.as_strided(stored.size, stored.stride, stored.offset)

    def check_sharing(self, state: Mapping[str, Tensor]) -> None:
        """Refuses so many names for the same numbers that going through them would take long."""
        stored = sum(len(row) for row in self._rows.values())
        if sum(values.numel() for values in state.values()) > MOST_SHARED * stored:
            raise UnreadableError("has the same numbers under many names and is refused")

    def _row(self, storage: Storage) -> Tensor:
        if storage not in self._rows:
            dtype = getattr(torch, storage.dtype)
            data = self._checkpoint.read(storage)
            row = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
            self._rows[storage] = row
        return self._rows[storage]


def _check_extent(stored: StoredTensor) -> None:
    size, stride, held = stored.size, stored.stride, stored.storage.count
    last = stored.offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 in size:
        last = stored.offset - 1
    if last >= held:
        raise UnreadableError(f"reaches to number {last + 1} of {held} that are stored")
    if math.prod(size) > held:
        raise UnreadableError(f"blows {held} stored numbers up to {math.prod(size)}")


def convert(
    model: str,
    state: Mapping[str, Tensor],
    *,
    source: str,
    allow_head: bool = False,
    arguments: Mapping[str, Any] | None = None,
) -> nn.Module:
    """The network `model` with the original's `state`, in eval mode; `source` is for messages.

    Its variant is told by the entries where `arguments` say nothing. Missing counters of batch
    norms do not matter. Anything else missing, extra, of another shape or not finite is an
    InputError that names it. With `allow_head` a last layer of another number
    of classes is left out: the network keeps its random start there, the same every time.
    """
    _refuse_unknown(model)
    _refuse_other_networks(model, state, source)
    state = _used(model, state, source)
    arguments = _complete(model, state, arguments or {})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(model, arguments, "arguments")
    _load(network, model, state, source, allow_head)
    return network.eval()


def _used(model: str, given: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """The entries that a file has for our network, each once."""
    return without_unused(model, without_second_names(model, given, source), source)


def _complete(
    model: str, given: Mapping[str, Tensor], arguments: Mapping[str, Any]
) -> dict[str, Any]:
    return classes_told(model, given) | complete_arguments(model, given, arguments)


def _refuse_unknown(model: str) -> None:
    if model not in MODELS:
        raise InputError(f"--model {model}: is unknown; choose one of {', '.join(MODELS)}")


def _load(
    network: nn.Module, model: str, given: Mapping[str, Tensor], source: str, allow_head: bool
) -> None:
    """Over the network's own; a head that may stay away and counters are its own then."""
    own = network.state_dict()
    left_out = _check(model, own, given, source, allow_head)
    network.load_state_dict(own | {k: v for k, v in given.items() if k not in left_out})


def _check(
    model: str,
    own: Mapping[str, Tensor],
    given: Mapping[str, Tensor],
    source: str,
    allow_head: bool,
) -> set[str]:
    """Refuses what does not fit, by name; returns the entries of the head to leave out."""
    head = HEADS.get(model)
    misshapen = {name for name in own.keys() & given if own[name].shape != given[name].shape}
    of_head = {name for name in misshapen if head and name.startswith(head)}
    wrong = _differences(own, given, misshapen - of_head)
    if wrong:
        raise InputError(
            f"{source}: does not fit {model}: {wrong}; give weights of just that network"
        )
    if of_head and not allow_head:
        first = min(of_head)
        raise InputError(
            f"{source}: its last layer is of {given[first].shape[0]} classes, that of {model} of "
            f"{own[first].shape[0]} ({first}); to leave it out, and train a new one, add "
            "--allow-head"
        )
    for name in sorted(set(own) & set(given) - of_head):
        _check_values(name, own[name], given[name], source)
    return of_head


def _differences(
    own: Mapping[str, Tensor], given: Mapping[str, Tensor], misshapen: Iterable[str]
) -> str:
    missing = [name for name in own if name not in given and not name.endswith(COUNTER)]
    extra = [name for name in given if name not in own]
    shapes = [
        f"{told(name)} is {_shape(given[name])} instead of {_shape(own[name])}"
        for name in own
        if name in misshapen
    ]
    groups = {"missing ": [*map(told, missing)], "unknown ": [*map(told, extra)], "": shapes}
    return "; ".join(label + _some(names) for label, names in groups.items() if names)


def _shape(values: Tensor) -> str:
    return "×".join(map(str, values.shape)) or "one number"


def _some(names: list[str]) -> str:
    shown_names = ", ".join(names[:3])
    return shown_names if len(names) <= 3 else f"{shown_names} and {len(names) - 3} more"


def _refuse_other_networks(model: str, given: Mapping[str, Tensor], source: str) -> None:
    found = looks_like(given)
    if model == "deepcrack_liu" and found == model and "conv1.1.weight" not in given:
        raise InputError(
            f"{source}: was trained with instance norm (entry 'conv1.1.weight' is missing); only "
            "the version with batch norm, as released, can be imported"
        )
    if found is None or found == model:
        return
    raise InputError(f"{source}: looks like {found}, not {model}; {use_of(found, model)}")


def _check_values(name: str, own: Tensor, values: Tensor, source: str) -> None:
    if own.is_floating_point() != values.is_floating_point():
        kind = str(values.dtype).removeprefix("torch.")
        raise InputError(f"{source}: entry {told(name)} has numbers of kind {kind}; save it again")
    if not torch.isfinite(values.to(own.dtype)).all():
        raise InputError(
            f"{source}: entry {told(name)} has values that are not finite; the training that "
            "wrote the file had failed, give an earlier one"
        )
    if name.endswith("running_var") and (values < 0).any():
        raise InputError(f"{source}: entry {told(name)} is a variance below 0; fetch it again")


def start_from(network: nn.Module, name: str, path: Path) -> None:
    """Begin a training of the network `name` with what `path` has for it.

    Our own safetensors, the original's checkpoint (both may have a head of other classes, which
    is left out), a network of torchvision for the encoder of ours, or for CSSR a file of either of
    its networks.
    """
    source = f"warm_start: {path}"
    if path.suffix.lower() == ".safetensors":
        given: Mapping[str, Tensor] = load_module(path)[0].state_dict()
    else:
        given = read_checkpoint(path)
    origin, own = looks_like(given), network.state_dict()
    given = _used(origin or name, given, source)
    if origin in STARTS:
        given = own | from_imagenet(name, origin, given, own, source)
    started = part_of_cssr(name, origin, given, own)
    given = started or backbone_of_yolox(name, origin, given, own, source) or given
    _refuse_other_networks(name, given, source)
    _load(network, name, given, source, allow_head=True)


def import_weights(
    file: Path,
    model: str,
    out: Path,
    *,
    allow_head: bool = False,
    arguments: Mapping[str, Any] | None = None,
    threshold: float | None = None,
) -> Imported:
    """Write the original's checkpoint `file` as our safetensors with a card."""
    _refuse_unknown(model)
    _refuse_place(out)
    check_arguments(model, arguments or {}, "settings of the network")
    if threshold is not None and not 0 < threshold < 1:
        raise InputError(f"--threshold {threshold:g}: give a probability between 0 and 1")
    source = str(file)
    state = _used(model, read_checkpoint(file), source)
    arguments = _complete(model, state, arguments or {})
    network = convert(model, state, source=source, allow_head=allow_head, arguments=arguments)
    own = network.state_dict()
    left_out = tuple(sorted(k for k in state if state[k].shape != own[k].shape))
    with file.open("rb") as data:
        sha256 = hashlib.file_digest(data, "sha256").hexdigest()
    notes = card_notes(model, arguments)
    if threshold is not None:
        notes["threshold"] = threshold
    head = f"; new random values in {', '.join(left_out)}" if left_out else ""
    card = new_card(
        model,
        arguments,
        summary=f"imported from {shown(file.name)} (SHA-256 {sha256}){head}",
        licence="see the source",
        trained_on="see the source",
        **notes,
    )
    try:
        card = save_safetensors(network, card, out)
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror or error})") from None
    return Imported(card, len(state) - len(left_out), left_out)


def _refuse_place(out: Path) -> None:
    """Before the work is done, where a file of ours cannot be written to."""
    if out.suffix.lower() != ".safetensors":
        raise InputError(f"--out {out}: give a name that ends in .safetensors")
    if out.is_dir():
        raise InputError(f"--out {out}: is a folder; give the name of a file in it")
    folder = next(parent for parent in out.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise InputError(f"--out {out}: {folder} is a file, not a folder; choose another place")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"--out {out}: nothing can be written into {folder}; choose another place")


def describe(imported: Imported) -> dict[str, Any]:
    """What was written, and the commands that go on with it."""
    card = imported.card
    assert card.path is not None
    path, onnx = (shlex.quote(str(p)) for p in (card.path, card.path.with_suffix(".onnx")))
    steps = [
        f"fissura predict SOURCE --model {path}",
        f"fissura export --model {path} --out {onnx}",
    ]
    if imported.left_out or card.name == "dbpn":  # which finds no cracks by itself
        steps = [f"fissura train CONFIG.yaml --set warm_start={path}"]
    return {
        "out": str(card.path),
        "entries": imported.taken,
        "left_out": list(imported.left_out),
        "arguments": card.arguments,
        "threshold": card.threshold,
        "summary": card.summary,
        "next": steps,
    }
