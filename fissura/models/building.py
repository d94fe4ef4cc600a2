"""Builds a network by its name and settings; what is wrong with them is said in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from fissura.models import MODELS
from fissura.models.settings import check_settings
from fissura.types import InputError


def build_network(name: str, arguments: Mapping[str, Any], source: str) -> nn.Module:
    """The network `name` of MODELS; InputError, which begins with `source`, if it refuses them."""
    check_arguments(name, arguments, source)
    try:
        return MODELS[name](**arguments)
    except ValueError as error:
        raise InputError(f"{source}: {name} does not take them ({error})") from None


def check_arguments(name: str, arguments: Mapping[str, Any], source: str) -> None:
    """Refuses settings that `name` does not have, or of another kind, without building it."""
    try:
        check_settings(MODELS[name], arguments)
    except ValueError as error:
        raise InputError(f"{source}: {name} does not take them ({error})") from None
