"""Turn a finished run into the weights that ship.

    python benchmarks/ship_weights.py runs/train/cgnet_default

Chooses the threshold on every validation picture of the run (mean F1 over the data sets), fills in
the card and writes fissura/weights/NAME.safetensors and NAME.onnx, compared with each other.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import fissura
from fissura.config import load_settings
from fissura.export import export_model
from fissura.train.config import TrainConfig
from fissura.train.data import load_training_data
from fissura.train.joint import build_task
from fissura.weights.network import load_module, save_safetensors

LICENCE = (
    "research and evaluation only: most of the photographs it was trained on allow nothing else"
    " (the code is Apache-2.0); see fissura/weights/{model}.md"
)
EVERY_PICTURE = 100_000


def main() -> None:
    """Write both files and print what was chosen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    run = parser.parse_args().run
    config = load_settings(run / "config.yaml", TrainConfig)
    network, card = load_module(run / "best.safetensors")
    everything = config.data.model_copy(update={"validation_limit": EVERY_PICTURE})
    pictures = load_training_data(everything).validation
    score = build_task(network, config, len(pictures)).validate(network, pictures)
    print(f"{len(pictures)} validation pictures: {score}")

    folder = Path(fissura.__file__).parent / "weights"
    card = replace(
        card,
        threshold=score.threshold,
        threshold_from="validation",
        licence=LICENCE.format(model=config.model),
        summary=f"{config.name}: mean F1 over data sets {score.f1:.3f} on validation pictures",
    )
    card = save_safetensors(network, card, folder / f"{config.model}.safetensors")
    exported = folder / f"{config.model}.onnx"
    agreement = export_model(folder / f"{config.model}.safetensors", exported)
    print(f"{card.weights_sha256}\n{agreement}")


if __name__ == "__main__":
    main()
