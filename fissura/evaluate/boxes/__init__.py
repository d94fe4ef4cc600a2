"""Detectors, or files of boxes, + data set + named protocol → JSON, tables, curves, pictures."""

from __future__ import annotations
