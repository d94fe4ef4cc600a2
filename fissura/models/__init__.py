"""The networks, one file each; `MODELS` maps a name to its class."""

from torch import nn

from fissura.models.cgnet import CGNet

MODELS: dict[str, type[nn.Module]] = {"cgnet": CGNet}

__all__ = ["MODELS", "CGNet"]
