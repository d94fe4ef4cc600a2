"""Faults of single files, of their names, and of the pairing of pictures and masks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from fissura.datasets.check.facts import SHOWN_VALUES, UPRIGHT, Facts, expected_format
from fissura.datasets.check.finding import Finding, Severity
from fissura.datasets.layout import Keyed, Part

Known = Mapping[Path, Facts]
Say = Callable[[str, Severity, Sequence[Path], str], Finding]
FORBIDDEN = frozenset('<>:"|?*\\')
BLACK_AND_WHITE = frozenset({0, 255})


def speaker(root: Path) -> Say:
    """A maker of findings that names files below `root`."""

    def say(kind: str, severity: Severity, files: Sequence[Path], message: str) -> Finding:
        return Finding(
            kind, severity, tuple(f.relative_to(root).as_posix() for f in files), message
        )

    return say


# ---- any file ------------------------------------------------------------------------------


def file_faults(facts: Facts, say: Say) -> Iterator[Finding]:
    """Zero bytes, damage, rotation, depth, alpha, wrong suffix."""
    files = [facts.path]
    if facts.size_bytes == 0 and facts.error == "zero bytes":
        yield say("zero_bytes", "error", files, "the file is empty; copy it again or remove it")
        return
    if facts.error:
        message = f"cannot be read ({facts.error}); copy it again or remove it"
        yield say("unreadable", "error", files, message)
        return
    if facts.orientation not in UPRIGHT:
        message = (
            f"EXIF orientation {facts.orientation}: some tools turn it, some do not; bake it in"
        )
        yield say("exif_rotated", "warning", files, message)
    if facts.bits > 8:
        yield say("over_8_bits", "warning", files, f"{facts.bits} bits per channel; read as 8 bits")
    if facts.alpha:
        yield say("alpha", "warning", files, "has an alpha channel, which is ignored; remove it")
    promised = expected_format(facts.path)
    if promised and facts.format and facts.format not in (promised, "MPO"):
        message = f"the content is {facts.format}, not {promised}; rename the file"
        yield say("wrong_suffix", "warning", files, message)


def mask_faults(facts: Facts, say: Say) -> Iterator[Finding]:
    """0/1 masks, stray values, empty masks."""
    if facts.error:
        return
    files, values = [facts.path], set(facts.values)
    if not values - {0}:
        yield say("empty_mask", "note", files, "no crack is marked; right for a sound picture only")
    elif values <= {0, 1}:
        message = "holds 0 and 1, looks black in viewers, read as 0 and 255; save it as 0 and 255"
        yield say("zero_one_mask", "warning", files, message)
    elif stray_levels(facts) and facts.format != "JPEG":
        stray = sorted(values - BLACK_AND_WHITE)
        shown = ", ".join(map(str, stray[:SHOWN_VALUES])) + (" …" if stray[SHOWN_VALUES:] else "")
        message = f"values besides 0 and 255 ({shown}); above 127 counts as crack"
        yield say("stray_values", "warning", files, message)


def stray_levels(facts: Facts) -> bool:
    """Whether a grey mask of 8 bits holds more than black and white."""
    return not facts.palette and facts.bits <= 8 and not set(facts.values) <= BLACK_AND_WHITE


# ---- names ---------------------------------------------------------------------------------


def name_faults(paths: Sequence[Path], root: Path, say: Say) -> Iterator[Finding]:
    """Names that break on another system or in a list of stems."""
    folded: dict[str, list[Path]] = defaultdict(list)
    for path in dict.fromkeys(paths):
        below = path.relative_to(root)
        folded[below.as_posix().casefold()].append(path)
        reasons = list(_odd(below))
        if reasons:
            yield say("odd_name", "warning", [path], f"{' and '.join(reasons)}; rename the file")
    for same in folded.values():
        if len(same) > 1:
            message = "names differ in case only and collide on Windows and macOS; rename one"
            yield say("case_collision", "error", same, message)


def _odd(path: Path) -> Iterator[str]:
    text = path.as_posix()
    if not text.isascii():
        yield "not ASCII"
    if any(part != part.strip() for part in (*path.parts, path.stem)):
        yield "a space at the start or end"
    elif " " in text:
        yield "a space"
    if FORBIDDEN & set(text):
        yield "a character that Windows forbids"
    if any(part.startswith("-") for part in path.parts):
        yield "a dash at the start, which commands take for an option"
    if any(not character.isprintable() for character in text):
        yield "a control character"
    if path.suffix != path.suffix.lower():
        yield f"an upper-case suffix {path.suffix}"


# ---- pairs ---------------------------------------------------------------------------------


def set_faults(one: Part, known: Known, say: Say) -> Iterator[Finding]:
    """Its masks and lists, pictures without masks, masks without pictures, doubles."""
    for path in dict.fromkeys(path for path, _ in one.problems):
        wrong = [what for of, what in one.problems if of == path]
        more = f" (and {len(wrong) - 1} more lines)" if len(wrong) > 1 else ""
        yield say("bad_index", "error", [path], wrong[0] + more)
    for path in dict.fromkeys(path for _, path in one.masks or ()):
        yield from mask_faults(known[path], say)
    if one.masks is not None:
        yield from _pairs(one.pictures, one.masks, known, say)


def _pairs(
    pictures: Sequence[Keyed], masks: Sequence[Keyed], known: Known, say: Say
) -> Iterator[Finding]:
    pictures_of, masks_of = by_name(pictures), by_name(masks)
    for name in sorted(pictures_of.keys() | masks_of.keys()):
        yield from _pair(pictures_of.get(name, []), masks_of.get(name, []), known, say)


def doubled_names(parts: Sequence[Part], say: Say) -> Iterator[Finding]:
    """Pictures of one name in two parts of a set, which no split could tell apart."""
    of_set: dict[tuple[str, Path], list[Part]] = defaultdict(list)
    for part in parts:
        of_set[part.name, part.root].append(part)
    for among in of_set.values():
        found = [by_name(part.pictures) for part in among]
        for name in sorted({name for names in found for name in names}):
            files = [names[name][0] for names in found if name in names]
            if len(files) > 1:
                message = "pictures of two parts share this name; rename one"
                yield say("ambiguous_pair", "error", files, message)


def by_name(files: Iterable[Keyed]) -> dict[str, list[Path]]:
    """Files that share a name."""
    found: dict[str, list[Path]] = defaultdict(list)
    for name, path in files:
        found[name].append(path)
    return found


def _pair(pictures: list[Path], masks: list[Path], known: Known, say: Say) -> Iterator[Finding]:
    if not masks:
        yield say("missing_mask", "error", pictures, "no mask of this name; add it")
    elif not pictures:
        yield say("missing_picture", "error", masks, "no picture of this name; add it or remove it")
    elif len(pictures) + len(masks) > 2:
        message = "several files share this name; keep one picture and one mask"
        yield say("ambiguous_pair", "error", [*pictures, *masks], message)
    else:
        yield from sizes(known[pictures[0]], known[masks[0]], say)


def sizes(picture: Facts, mask: Facts, say: Say) -> Iterator[Finding]:
    """A mask whose size is not its picture's."""
    if picture.error or mask.error or picture.size_wh == mask.size_wh:
        return
    (w, h), (a, b) = picture.size_wh, mask.size_wh
    turned = picture.orientation not in UPRIGHT and (b, a) == (w, h)
    why = "drawn before the picture was turned upright; turn it" if turned else "remake the mask"
    message = f"picture {w}×{h}, mask {a}×{b}: {why}"
    yield say("size_mismatch", "error", [picture.path, mask.path], message)
