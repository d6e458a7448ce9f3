"""transformers and peft compute with what a fine-tuning run wrote what alora computes.

Usage: check_finetune.py ALORA_BINARY EXAMPLES_FOLDER

EXAMPLES_FOLDER is where cargo put the example `logits`. Needs numpy, pillow, safetensors, torch, transformers and peft.

Fine-tunes the tiny vision transformer of `assets` on images made here, then checks the folders `base`, `merged` and `peft`:
that the real libraries load them whole, that all ways to the adapted network give the same logits, that alora reads
back what it wrote and what transformers writes, and that images, resized and normalised by the exported preprocessor,
are classified as alora's report says.
"""

import pathlib
import sys
import tempfile

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import ViTImageProcessorPil

import check_peft
from check_peft import adapted, random_images
from check_vit_logits import check_logits, load, logits
from oracle import alora, check, closing_line, run

CLASSES = 4
CONFIG = """
seed = 5
model.weights = "assets/vit-tiny-random-hf"
pretrain = {{ epochs = 4, batch_size = 32 }}
error_model.assumed_sigma = 0.012
mapping.scaling = "row"
finetune = {{ epochs = 3, batch_size = 16, adapter = {{ rank = 4, alpha = 8.0, bias = {bias} }} }}
evaluation.chips = 0
[data]
path = "{images}"
mean = [0.5, 0.4, 0.6]
std = [0.5, 0.25, 0.3]
resample = "{resample}"
"""


def make_images(root):
    """Noise of 20 x 24 pixels in a random colour with a tint for the class: not all can be told."""
    rng = np.random.default_rng(6)
    for part, count in (("train", 40), ("test", 25)):
        for label in range(CLASSES):
            folder = root / part / f"class{label}"
            folder.mkdir(parents=True)
            tint = np.zeros(3)
            tint[label % 3] = 30 if label < 3 else -30
            for index in range(count):
                pixels = 120 + rng.normal(0, 15, 3) + tint + rng.normal(0, 60, (24, 20, 3))
                Image.fromarray(np.uint8(np.clip(pixels, 0, 255))).save(folder / f"{index:02}.png")


def by_alora(program, folder, images, model, *adapters):
    """Logits of alora for `images`."""
    given, found = folder / "images.safetensors", folder / "logits.safetensors"
    save_file({"pixel_values": images}, given)
    run(program, model, given, found, *adapters)
    return load_file(found)["logits"]


def check_networks(program, folder, out):
    check_peft.main(out / "base", out / "peft", out / "merged")
    base, merged = load(out / "base"), load(out / "merged")
    images = random_images(base.config, 16)
    beside, whole = logits(adapted(out / "base", out / "peft"), images), logits(merged, images)
    ours = lambda *paths: by_alora(program, folder, images, *paths)
    check_logits("base, alora and transformers", ours(out / "base"), logits(base, images))
    check_logits("merged, alora and transformers", ours(out / "merged"), whole)
    check_logits("peft's folder beside the base, alora and peft", ours(out / "base", out / "peft"), beside)
    check_logits("adapters.safetensors beside the base", ours(out / "base", out / "adapters.safetensors"), beside)
    again = folder / "again"
    merged.save_pretrained(again)
    check("what transformers writes of the merged network, alora reads as its own",
          torch.equal(ours(again), ours(out / "merged")))


def check_images(data, out, report):
    """Right answers of transformers on the image files against those that alora reports."""
    files = sorted((data / "test").glob("*/*.png"))
    labels = torch.tensor([int(file.parent.name.removeprefix("class")) for file in files])
    processor = ViTImageProcessorPil.from_pretrained(out / "merged")
    pixels = processor([Image.open(file) for file in files], return_tensors="pt")["pixel_values"]
    for what, folder, share in (("base", "base", report["digital"]), ("adapted", "merged", report["after"]["digital"])):
        best, found = logits(load(out / folder), pixels).topk(2)
        right = (found[:, 0] == labels).sum().item()
        # Where two classes are as good as even, f32 may decide either way.
        even = (best[:, 0] - best[:, 1] < 1e-4).sum().item()
        reported = round(share * len(files))
        check(f"{what}: right answers", abs(right - reported) <= even, f"{right} and {reported} of {len(files)}")
        check(f"{what}: better than chance", right > 1.5 * len(files) / CLASSES)


def main(binary, examples):
    binary, program = pathlib.Path(binary).resolve(), pathlib.Path(examples).resolve() / "logits"
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        make_images(folder / "images")
        for bias, resample in (("true", "bicubic"), ("false", "bilinear")):
            config, out = folder / f"{resample}.toml", folder / resample
            config.write_text(CONFIG.format(images=folder / "images", bias=bias, resample=resample))
            report = alora(binary, "finetune", config, "--out", out)
            check_networks(program, folder, out)
            check_images(folder / "images", out, report)
    closing_line()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
