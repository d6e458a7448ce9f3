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
from transformers import ViTForImageClassification

# Two orders of the same f32 sums.
TOLERANCE = 1e-5


def load(folder):
    model, report = ViTForImageClassification.from_pretrained(
        folder, output_loading_info=True, attn_implementation="eager"
    )
    wrong = {what: list(names) for what, names in report.items() if names}
    if wrong:
        sys.exit(f"FAILED: {folder}: {wrong}")
    return model.eval()


def adapted(base, peft):
    """The base with the adapters. Every tensor of the folder must have found its place."""
    # peft warns, and goes on, when the folder lacks a tensor.
    warnings.filterwarnings("error", message=".*missing adapter keys.*")
    model = PeftModel.from_pretrained(load(base), peft).eval()
    with safe_open(pathlib.Path(peft) / "adapter_model.safetensors", "pt") as file:
        for name in file.keys():
            part, kind = name.rsplit(".", 1)
            if not torch.equal(model.get_parameter(f"{part}.default.{kind}"), file.get_tensor(name)):
                sys.exit(f"FAILED: {name} was not loaded")
        print(f"ok: {len(file.keys())} tensors of {peft} are in place")
    return model


def main(base, peft, merged):
    model, whole = adapted(base, peft), load(merged)
    config = whole.config
    torch.manual_seed(0)
    images = torch.randn(4, config.num_channels, config.image_size, config.image_size)
    with torch.no_grad():
        beside, plain = model(pixel_values=images).logits, whole(pixel_values=images).logits
        untouched = load(base)(pixel_values=images).logits
    difference = (beside - plain).abs().max().item()
    moved = (beside - untouched).abs().max().item()
    scale = max(1.0, plain.abs().max().item())
    if not difference <= TOLERANCE * scale:
        sys.exit(f"FAILED: logits differ by {difference:.3g}, allowed {TOLERANCE * scale:.3g}")
    if not moved > 100 * difference:
        sys.exit(f"FAILED: the adapters change the logits by {moved:.3g} only; nothing was compared")
    print(f"ok: logits differ by {difference:.3g}; the adapters move them by {moved:.3g}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
