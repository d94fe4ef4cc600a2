"""The networks, one file each; `MODELS` maps a name to its class."""

from torch import nn

from fissura.models.cgnet import CGNet
from fissura.models.deepcrack_liu import DeepCrackLiu
from fissura.models.deepcrack_zou import DeepCrackZou

MODELS: dict[str, type[nn.Module]] = {
    "cgnet": CGNet,
    "deepcrack_liu": DeepCrackLiu,
    "deepcrack_zou": DeepCrackZou,
}

__all__ = ["MODELS", "CGNet", "DeepCrackLiu", "DeepCrackZou"]
