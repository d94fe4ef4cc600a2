"""Builds a network by its name and settings; what is wrong with them is said in a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from fissura.models import MODELS
from fissura.models.layers import he_start
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


PRIOR = 0.01
"""What an untrained detector says of any place, since cracks are rare."""


def restart(network: nn.Module) -> None:
    """He's start in place of the network's own, which in some releases hardly lets a signal pass.

    Norms begin as the identity, and a detector's scores at PRIOR (Lin et al., "Focal Loss for Dense
    Object Detection", 2017, section 4.1), or the first hundreds of steps only learn their rarity.
    What begins at nothing, as the last layer of a DBPN with `skip`, does so again.
    """
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    silent = [module for module in convolutions if not module.weight.any()]
    he_start(network)
    for module in silent:
        nn.init.zeros_(module.weight)
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
        if isinstance(module, nn.Conv2d) and name.startswith(("head.obj_preds", "head.cls_preds")):
            assert module.bias is not None
            nn.init.constant_(module.bias, math.log(PRIOR / (1 - PRIOR)))
