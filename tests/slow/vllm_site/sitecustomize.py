"""Read by every Python that finds it: lets PyPI's torchvision load beside torch's CPU build.

Its kernels are for CUDA and absent here; two of them are looked up as it is imported.
"""

import torch

LIBRARY = torch.library.Library("torchvision", "DEF")
for kernel in ("nms", "qnms"):
    LIBRARY.define(f"{kernel}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
