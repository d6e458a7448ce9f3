"""transformers computes from the same weights and images the logits that alora computed.

Usage: check_vit_logits.py HF_FOLDER LOGITS_FILE

HF_FOLDER is a folder that ViTForImageClassification loads; LOGITS_FILE a safetensors file with `pixel_values`
[n, c, h, w] and `logits` [n, classes]. Needs torch, transformers and safetensors.
"""

import sys

import torch
from safetensors.torch import load_file
from transformers import ViTForImageClassification

from oracle import check

# f32 through a dozen blocks, in another order of sums.
TOLERANCE = 1e-4


def load(folder):
    """The network of `folder`. Every tensor must have found its place, and every place its tensor."""
    model, report = ViTForImageClassification.from_pretrained(
        folder, output_loading_info=True, attn_implementation="eager"
    )
    wrong = {what: list(names) for what, names in report.items() if names}
    check(f"transformers loads {folder} whole", not wrong, f"{wrong or ''}")
    return model.eval().float()


def logits(model, pixel_values):
    with torch.no_grad():
        return model(pixel_values=pixel_values).logits


def check_logits(what, found, expected, tolerance=TOLERANCE):
    """`tolerance` is relative to the largest logit, or to 1."""
    check(f"{what}: shape", found.shape == expected.shape, f"{tuple(found.shape)}")
    difference, scale = (found - expected).abs().max().item(), max(1.0, expected.abs().max().item())
    check(f"{what}: logits", difference <= tolerance * scale, f"differ by {difference:.3g} at values up to {scale:.3g}")
    return difference


def main(folder, path):
    tensors = load_file(path)
    check_logits("transformers and alora", tensors["logits"], logits(load(folder), tensors["pixel_values"]))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
