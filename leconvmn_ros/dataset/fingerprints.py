# Copyright 2026 The leconvmn_ros authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Recognises EMG by its content, whatever the bag's name, however it was cut or stamped.

The samples themselves determine where a recording is cut into blocks (content-defined chunking, as
in Muthitacharoen et al., SOSP 2001), and each block is hashed. A copy, an excerpt, or the file
converted again shares these blocks, wherever it begins; other EMG shares none.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

# Mean length of a block (s), and size of its hash (bytes).
BLOCK_SECONDS = 0.5
HASH_BYTES = 8
# Shorter blocks could occur in two recordings by chance.
_LEAST_ROWS = 8


def emg_hash(samples: NDArray[np.float32]) -> str:
    """Return the SHA-256 of all samples, shape (samples, channels), as hexadecimal digits."""
    content = np.ascontiguousarray(samples, dtype='<f4')
    return hashlib.sha256(repr(content.shape[1:]).encode() + content.tobytes()).hexdigest()


def block_hashes(samples: NDArray[np.float32], sampling_rate: float) -> set[bytes]:
    """Return the hashes of the complete blocks in a gapless stretch of EMG.

    Samples before the first border of blocks and after the last are not hashed, nor are blocks in
    which nothing changes, such as those of an electrode that is off.

    Args:
        samples: EMG, shape (samples, channels).
        sampling_rate: samples per second.
    """
    content = np.ascontiguousarray(samples, dtype='<f4')
    period = max(_LEAST_ROWS, round(BLOCK_SECONDS * sampling_rate))
    borders = np.flatnonzero(_row_hashes(content) % np.uint64(period) == 0)
    hashes = set()
    for first, last in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True):
        block = content[first:last]
        if last - first >= _LEAST_ROWS and (block != block[0]).any():
            hashes.add(hashlib.blake2b(block.tobytes(), digest_size=HASH_BYTES).digest())
    return hashes


def _row_hashes(content: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Return a number for each sample that depends on all its channels."""
    bits = content.view('<u4').astype(np.uint64)
    rng = np.random.default_rng(0)
    factors = rng.integers(1, 2**63, size=content.shape[1], dtype=np.uint64) | np.uint64(1)
    mixed = (bits * factors).sum(axis=1, dtype=np.uint64)
    # The low bits of a product depend only on low bits, so mix (finaliser of SplitMix64).
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    hashes: NDArray[np.uint64] = mixed
    return hashes
