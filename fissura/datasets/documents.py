"""JSON and XML from other people's hands: of bounded size, without entities, or refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from pydantic import BaseModel, ConfigDict, ValidationError

from fissura.datasets.layout import decoded
from fissura.types import InputError

MAX_JSON_BYTES = 64_000_000
MAX_XML_BYTES = 1_000_000
MAX_TEXT_BYTES = 32_000_000
REACH = 65_536


class Document(BaseModel):
    """Base of what is read from JSON: finite numbers, other keys ignored."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


D = TypeVar("D", bound=Document)


def read_json(path: Path, kind: type[D]) -> D:
    """A JSON file as a document of that kind."""
    data = _read(path, MAX_JSON_BYTES).removeprefix(b"\xef\xbb\xbf")
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        what = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{path}: {where}: {what}; mend the file") from error


def read_xml(path: Path) -> Element:
    """Root element of an XML file; document types, and with them entities, are refused."""
    data = _read(path, MAX_XML_BYTES)
    builder, parser = TreeBuilder(), expat.ParserCreate()
    parser.buffer_text = True

    def start(tag: str, attributes: Mapping[str, str]) -> None:
        builder.start(tag, dict(attributes))

    def refuse(*_: object) -> None:
        raise InputError(f"{path}: has a document type, which is not read; remove that line")

    parser.StartElementHandler = start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise InputError(f"{path}: is no XML ({error}); make it anew") from error
    return builder.close()


def read_text(path: Path, limit: int) -> str:
    """A text list of boxes, a byte order mark taken off."""
    return decoded(path, _read(path, limit))


def looks_like(path: Path, word: bytes) -> bool:
    """Whether a word stands near the start of a file or near its end."""
    try:
        with path.open("rb") as file:
            head = file.read(REACH)
            file.seek(max(path.stat().st_size - REACH, 0))
            return word in head or word in file.read(REACH)
    except OSError:
        return False


def holds_word(path: Path, word: bytes) -> bool:
    """Whether a word stands anywhere in a file that may be read; in a larger one it may."""
    try:
        return word in _read(path, MAX_JSON_BYTES)
    except InputError:
        return True


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its rights") from error
    if len(data) > limit:
        raise InputError(f"{path}: over {limit} bytes are no annotations; split the file")
    return data
