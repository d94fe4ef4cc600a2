"""Tells what network a state dict is of, and what a file of another network is good for."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from fissura.models import MODELS
from fissura.weights.detectors import WIDTH_OF_YOLOX
from fissura.weights.imagenet import (
    RESNET34,
    RESNET101,
    VGG16,
    VGG16_BN,
    imagenet_starts,
)

# What a state dict with all these entries is; the first that fits counts.
_SIGNATURES = (
    ("deepcrack_zou", ("down1.nn.0.conv.weight",)),
    ("deepcrack_liu", ("conv1.0.weight", "side_conv1.weight")),
    ("cgnet", ("backbone.stem.0.conv.weight", "backbone.norm_prelu_0.0.weight")),
    ("cssr", ("sr_model.feat0.conv.weight",)),
    ("cssr", ("segmentation_model.conv1.0.weight",)),
    ("cssr", ("segmentation_model.psp.bottleneck.weight",)),
    ("dbpn", ("feat0.conv.weight", "output_conv.conv.weight")),
    ("unet_vgg16", ("conv1.0.weight", "conv5.4.weight", "dec1.conv.weight")),
    ("a U-Net on ResNet-152", ("conv4.35.conv1.weight", "dec0.conv.weight")),
    ("unet_resnet101", ("conv4.22.conv1.weight", "dec0.conv.weight")),
    ("unet_resnet34", ("conv5.2.conv1.weight", "dec0.conv.weight")),
    ("pspnet", ("feats.conv1.weight", "psp.bottleneck.weight")),
    (VGG16_BN, ("features.0.weight", "features.1.running_mean", "features.40.weight")),
    (VGG16, ("features.0.weight", "features.28.weight")),
    ("ResNet-152 of torchvision", ("conv1.weight", "layer3.35.conv1.weight")),
    (RESNET101, ("conv1.weight", "layer3.22.conv1.weight")),
    ("ResNet-50 of torchvision", ("conv1.weight", "layer1.0.conv3.weight")),
    (RESNET34, ("conv1.weight", "layer3.5.conv1.weight")),
    ("ResNet-18 of torchvision", ("conv1.weight", "layer1.0.conv1.weight")),
    ("yolox_s", ("backbone.backbone.dark2.0.conv.weight", "backbone.bu_conv2.conv.weight")),
    ("beltcrackdet_lite", ("neck.recall.read.conv.weight", "neck.change.mix.conv.weight")),
    ("beltcrackdet", ("backbone.backbone.dark2.0.conv.weight", "backbone.C3_p3.conv1.conv.weight")),
    ("another YOLOX detector", ("backbone.backbone.stem.conv.conv.weight",)),
    ("another network of OpenMMLab", ("decode_head.conv_seg.weight",)),
)


def looks_like(state: Mapping[str, Tensor]) -> str | None:
    """What network a state dict is of, by its names: one of MODELS, or words."""
    fitting = (what for what, names in _SIGNATURES if all(n in state for n in names))
    return next(fitting, None)


def use_of(found: str, model: str) -> str:
    """What can be done with a file of another network, or what is needed instead."""
    starts = (*imagenet_starts(model), *(["yolox_s"] if model in WIDTH_OF_YOLOX else []))
    if found in starts:
        condition = " of just that encoder" if model == "cssr" else ""
        return f"a training{condition} can begin with it (warm_start)"
    if found in MODELS:
        return f"name that network as the model, or give a file of {model}"
    begin = f", or begin a training with {' or '.join(starts)} (warm_start)" if starts else ""
    return f"give a file of {model}{begin}"
