"""The optimiser that the settings name, and which parameters it decays."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import Parameter

from fissura.train.optimiser_config import OptimiserSettings


def build_optimiser(network: nn.Module, settings: OptimiserSettings) -> torch.optim.Optimizer:
    """All parameters that are trained, or the release's choice of them."""
    if settings.official_parameter_groups:
        norms, decayed, biases = official_groups(network)
        decays = [(norms, 0.0), (decayed, settings.weight_decay), (biases, 0.0)]
    else:
        decayed, kept = sound_groups(network, settings.decay_all)
        decays = [(decayed, settings.weight_decay), (kept, 0.0)]
    groups = [{"params": group, "weight_decay": decay} for group, decay in decays if group]
    if settings.name == "sgd":
        return torch.optim.SGD(
            groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.nesterov
        )
    kind = torch.optim.AdamW if settings.name == "adamw" else torch.optim.Adam
    return kind(groups, lr=settings.lr)


def sound_groups(network: nn.Module, decay_all: bool) -> tuple[list[Parameter], list[Parameter]]:
    """Decayed are the weights of convolutions and linear layers, or all; and the rest.

    The rest are norms, biases, slopes, gains of whole channels, tables of positions.
    """
    layers = (m for m in network.modules() if isinstance(m, _ConvNd | nn.Linear))
    weights = {layer.weight for layer in layers}
    trained = [p for p in network.parameters() if p.requires_grad]
    decayed = [p for p in trained if decay_all or p in weights]
    return decayed, [p for p in trained if not (decay_all or p in weights)]


def official_groups(
    network: nn.Module,
) -> tuple[list[Parameter], list[Parameter], list[Parameter]]:
    """BeltCrackDet's release: weights of norms, all other weights, which decay, and biases.

    Norms are those over pictures and whatever has "bn" in its name, so that one-dimensional norms
    and gains decay. A parameter of another name belongs nowhere and keeps its initial value: the
    non-local block's gamma and the attention's tables of positions.
    """
    norms: list[Parameter] = []
    weights: list[Parameter] = []
    biases: list[Parameter] = []
    for name, module in network.named_modules():
        own = dict(module.named_parameters(recurse=False))
        if "bias" in own:
            biases.append(own["bias"])
        if "weight" in own:
            is_norm = isinstance(module, nn.BatchNorm2d) or "bn" in name
            (norms if is_norm else weights).append(own["weight"])
    return norms, weights, biases
