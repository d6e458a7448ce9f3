"""transformers computes from the same weights and images the logits that alora computed.

Usage: check_vit_logits.py HF_FOLDER LOGITS_FILE

HF_FOLDER is a folder that ViTForImageClassification loads; LOGITS_FILE a safetensors file with `pixel_values`
[n, c, h, w] and `logits` [n, classes]. Needs torch, transformers and safetensors.
"""

import sys

import torch
from safetensors.torch import load_file
from transformers import ViTForImageClassification

# f32 through a dozen blocks, in another order of sums.
TOLERANCE = 1e-4


def main(folder, path):
    model, report = ViTForImageClassification.from_pretrained(
        folder, output_loading_info=True, attn_implementation="eager"
    )
    wrong = {what: list(names) for what, names in report.items() if names}
    if wrong:
        sys.exit(f"FAILED: {folder}: {wrong}")
    tensors = load_file(path)
    with torch.no_grad():
        expected = model.eval().float()(pixel_values=tensors["pixel_values"]).logits
    found = tensors["logits"]
    if found.shape != expected.shape:
        sys.exit(f"FAILED: logits are {tuple(found.shape)}, expected {tuple(expected.shape)}")
    difference = (found - expected).abs().max().item()
    scale = max(1.0, expected.abs().max().item())
    if not difference <= TOLERANCE * scale:
        sys.exit(f"FAILED: logits differ by {difference:.3g}, allowed {TOLERANCE * scale:.3g}")
    print(f"ok: {len(found)} images, logits differ by {difference:.3g} at values up to {scale:.3g}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
