"""Adapters exported for peft compute what the merged network computes.

Usage: check_peft.py BASE_FOLDER PEFT_FOLDER MERGED_FOLDER

Loads BASE_FOLDER with transformers, puts the adapters of PEFT_FOLDER on it with peft, and compares its logits for fixed
random images with those of MERGED_FOLDER. Needs torch, transformers, peft and safetensors.
"""

import pathlib
import sys
import warnings

import torch
from peft import PeftModel
from safetensors import safe_open

from check_vit_logits import check_logits, load, logits
from oracle import check

# Two orders of the same f32 sums.
TOLERANCE = 1e-5


def adapted(base, peft):
    """The base with the adapters. Every tensor of the folder must have found its place."""
    # peft warns, and goes on, when the folder lacks a tensor.
    warnings.filterwarnings("error", message=".*missing adapter keys.*")
    model = PeftModel.from_pretrained(load(base), peft).eval()
    with safe_open(pathlib.Path(peft) / "adapter_model.safetensors", "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    parts = [name.rsplit(".", 1) for name in tensors]
    found = [model.get_parameter(f"{layer}.default.{kind}") for layer, kind in parts]
    same = [torch.equal(*pair) for pair in zip(found, tensors.values())]
    check(f"peft loads {peft} whole", same and all(same), f"{len(same)} tensors")
    return model


def random_images(config, count=4):
    torch.manual_seed(0)
    return torch.randn(count, config.num_channels, config.image_size, config.image_size)


def main(base, peft, merged):
    whole = load(merged)
    images = random_images(whole.config)
    beside, plain = logits(adapted(base, peft), images), logits(whole, images)
    difference = check_logits("beside and merged", beside, plain, TOLERANCE)
    moved = (beside - logits(load(base), images)).abs().max().item()
    # Adapters that do nothing would agree as well.
    check("the adapters change the logits", moved > 100 * difference, f"by {moved:.3g}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
