"""docs/result.schema.json, generated from the types: `python -m fissura.report.schema FILE`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from fissura.types import Result

RLE: dict[str, Any] = {
    "title": "Rle",
    "description": "The crack's pixels in the whole picture as COCO run lengths: size is height, "
    "width; counts is the packed string that pycocotools.mask.decode reads.",
    "type": "object",
    "properties": {
        "size": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
        "counts": {"type": "string"},
    },
    "required": ["size", "counts"],
}


BOXES: dict[str, Any] = {
    "title": "Detections",
    "description": "The boxes that a detector found, best first; null for a network that segments."
    " Edges are left, top, right, bottom in pixels of the picture and may lie outside it.",
    "anyOf": [
        {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "box": {
                        "type": "array",
                        "items": {"type": "number"},
                        "minItems": 4,
                        "maxItems": 4,
                    },
                    "score": {"type": "number", "minimum": 0, "maximum": 1},
                    "label": {"type": "string"},
                },
                "required": ["box", "score", "label"],
                "additionalProperties": False,
            },
        },
        {"type": "null"},
    ],
}


def result_schema() -> dict[str, Any]:
    """The JSON schema of one result: every key is present, and no other is."""
    schema = TypeAdapter(Result).json_schema(mode="serialization")
    schema["$defs"]["Crack"]["properties"]["rle"] = RLE
    schema["properties"]["detections"] = BOXES
    for part in (schema, *schema["$defs"].values()):
        part["required"] = list(part["properties"])
        part["additionalProperties"] = False
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_text() -> str:
    """The schema as the committed file holds it."""
    return json.dumps(result_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(schema_text(), encoding="utf-8")
