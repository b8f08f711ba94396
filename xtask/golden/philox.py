"""Generates the inputs of the tests, like crates/alexnet-testing/src/values.rs."""

import numpy as np

SYNTHETIC = 5


def seed_of(name: str) -> int:
    """64-bit FNV-1a."""
    hash = 0xCBF29CE484222325
    for byte in name.encode():
        hash = (hash ^ byte) * 0x100000001B3 % 2**64
    return hash


def words(seed: int, purpose: int, epoch: int, index: int, count: int) -> np.ndarray:
    """The first `count` words of an alexnet-random stream: Philox4x32-10 over the counters [block, index, epoch, purpose]."""
    mask = np.uint64(0xFFFFFFFF)
    blocks = np.arange((count + 3) // 4, dtype=np.uint64)
    c0, c1, c2, c3 = blocks, *(np.full_like(blocks, v) for v in (index, epoch, purpose))
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (
            (p1 >> np.uint64(32)) ^ c1 ^ np.uint64(k0),
            p1 & mask,
            (p0 >> np.uint64(32)) ^ c3 ^ np.uint64(k1),
            p0 & mask,
        )
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return np.stack([c0, c1, c2, c3], axis=1).reshape(-1)[:count]


def uniform(name: str, index: int, shape) -> np.ndarray:
    """Values uniform in [-1, 1): the `index`-th input of the case `name`."""
    count = int(np.prod(shape))
    values = (words(seed_of(name), SYNTHETIC, 0, index, count) >> np.uint64(8)).astype(np.float64) * 2.0**-24
    return (values * 2 - 1).reshape(shape)


if __name__ == "__main__":
    assert [hex(w) for w in words(0, 0, 0, 0, 4)] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]
