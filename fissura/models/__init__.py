"""The networks, one file each; `MODELS` maps a name to its class."""

from torch import nn

from fissura.models.beltcrackdet import BeltCrackDet
from fissura.models.beltcrackdet_lite import BeltCrackDetLite
from fissura.models.cgnet import CGNet
from fissura.models.cssr import CSSR
from fissura.models.dbpn import DBPN
from fissura.models.deepcrack_liu import DeepCrackLiu
from fissura.models.deepcrack_zou import DeepCrackZou
from fissura.models.pspnet import PSPNet
from fissura.models.unet_resnet import UNetResNet34, UNetResNet101
from fissura.models.unet_vgg16 import UNetVGG16
from fissura.models.yolox import YoloxS

MODELS: dict[str, type[nn.Module]] = {
    "beltcrackdet": BeltCrackDet,
    "beltcrackdet_lite": BeltCrackDetLite,
    "cgnet": CGNet,
    "cssr": CSSR,
    "dbpn": DBPN,
    "deepcrack_liu": DeepCrackLiu,
    "deepcrack_zou": DeepCrackZou,
    "pspnet": PSPNet,
    "unet_resnet34": UNetResNet34,
    "unet_resnet101": UNetResNet101,
    "unet_vgg16": UNetVGG16,
    "yolox_s": YoloxS,
}

__all__ = [
    "CSSR",
    "DBPN",
    "MODELS",
    "BeltCrackDet",
    "BeltCrackDetLite",
    "CGNet",
    "DeepCrackLiu",
    "DeepCrackZou",
    "PSPNet",
    "UNetResNet34",
    "UNetResNet101",
    "UNetVGG16",
    "YoloxS",
]
