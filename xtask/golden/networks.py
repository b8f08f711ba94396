"""PyTorch counterparts of the variants, written from the same sources, with the same parameter names."""

import torch
import torch.nn.functional as F
from torch import nn


def lrn(x, size, alpha, beta, k, groups):
    """Response normalization across channels, alpha divided by size, within each group."""
    return torch.cat([F.local_response_norm(part, size, alpha, beta, k) for part in x.chunk(groups, 1)], 1)


def lrn_within_channel(x, size, scale, power):
    """Response normalization within each channel, scale divided by size squared, zeros outside the image."""
    mean = F.avg_pool2d(x * x, size, 1, size // 2, count_include_pad=True)
    return x / (1 + scale * mean) ** power


def pool(x):
    return F.max_pool2d(x, 3, 2, ceil_mode=True)


class Towers(nn.Module):
    """Common layers of the two-tower networks: 96-256-384-384-256-4096-4096."""

    sixth = False

    def __init__(self, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, 11, 4)
        self.conv2 = nn.Conv2d(96, 256, 5, padding=2, groups=2)
        self.conv3 = nn.Conv2d(256, 384, 3, padding=1)
        self.conv4 = nn.Conv2d(384, 384, 3, padding=1, groups=2)
        self.conv5 = nn.Conv2d(384, 256, 3, padding=1, groups=2)
        if self.sixth:
            self.conv6 = nn.Conv2d(256, 256, 3, padding=1)
        self.fc6 = nn.Linear(9216, 4096)
        self.fc7 = nn.Linear(4096, 4096)
        self.fc8 = nn.Linear(4096, classes)

    def top(self, x):
        """From conv3 on; dropout is off."""
        x = F.relu(self.conv4(F.relu(self.conv3(x))))
        x = pool(F.relu(self.conv5(x))).flatten(1)
        return self.fc8(F.relu(self.fc7(F.relu(self.fc6(x)))))


class AlexNet(Towers):
    """Config #145 of 2012: the first normalization before the ReLU, a second one within channels in stage 2."""

    def forward(self, x):
        x = self.conv1(F.pad(x, (0, 3, 0, 3)))
        x = F.relu(pool(lrn(x, 5, 1e-4, 0.75, 2, 2)))
        x = lrn(F.relu(self.conv2(x)), 5, 1e-4, 0.75, 2, 2)
        return self.top(pool(lrn_within_channel(x, 5, 1e-3, 0.75)))


class AlexNetPaper(Towers):
    """The paper's text: ReLU, normalization with alpha not divided, pooling."""

    def forward(self, x):
        x = F.relu(self.conv1(F.pad(x, (0, 3, 0, 3))))
        x = pool(lrn(x, 5, 5e-4, 0.75, 2, 2))
        x = lrn(F.relu(self.conv2(x)), 5, 5e-4, 0.75, 2, 2)
        return self.top(pool(x))


class AlexNetSixConv(AlexNet):
    """Config #146 of 2012: #145 with 3x3 kernels over both towers between pooling and fc6."""

    sixth = True

    def top(self, x):
        x = F.relu(self.conv4(F.relu(self.conv3(x))))
        x = F.relu(self.conv6(F.relu(pool(self.conv5(x))))).flatten(1)
        return self.fc8(F.relu(self.fc7(F.relu(self.fc6(x)))))


class AlexNetCaffe(Towers):
    """bvlc_alexnet: 227x227, normalization over all channels with k = 1."""

    def forward(self, x):
        x = pool(lrn(F.relu(self.conv1(x)), 5, 1e-4, 0.75, 1, 1))
        x = pool(lrn(F.relu(self.conv2(x)), 5, 1e-4, 0.75, 1, 1))
        return self.top(x)


class CaffeNet(Towers):
    """bvlc_reference_caffenet: pooling before normalization."""

    def forward(self, x):
        x = lrn(pool(F.relu(self.conv1(x))), 5, 1e-4, 0.75, 1, 1)
        x = lrn(pool(F.relu(self.conv2(x))), 5, 1e-4, 0.75, 1, 1)
        return self.top(x)


class AlexNetOwt(nn.Module):
    """cuda-convnet2's network for one GPU."""

    def __init__(self, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 11, 4)
        self.conv2 = nn.Conv2d(64, 192, 5, padding=2)
        self.conv3 = nn.Conv2d(192, 384, 3, padding=1)
        self.conv4 = nn.Conv2d(384, 256, 3, padding=1)
        self.conv5 = nn.Conv2d(256, 256, 3, padding=1)
        self.fc6 = nn.Linear(9216, 4096)
        self.fc7 = nn.Linear(4096, 4096)
        self.fc8 = nn.Linear(4096, classes)

    def forward(self, x):
        x = F.relu(pool(lrn(self.conv1(F.pad(x, (0, 3, 0, 3))), 5, 1e-4, 0.75, 2, 1)))
        x = pool(lrn(F.relu(self.conv2(x)), 5, 1e-4, 0.75, 2, 1))
        return Towers.top(self, x)


def torchvision_alexnet(classes):
    from torchvision.models import alexnet

    # eval(): dropout off.
    return alexnet(num_classes=classes).eval()


NETWORKS = {
    "alexnet": (AlexNet, 224),
    "alexnet-paper": (AlexNetPaper, 224),
    "alexnet-six-conv": (AlexNetSixConv, 224),
    "alexnet-caffe": (AlexNetCaffe, 227),
    "caffenet": (CaffeNet, 227),
    "alexnet-owt": (AlexNetOwt, 224),
    "alexnet-torchvision": (torchvision_alexnet, 224),
}
