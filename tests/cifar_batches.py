"""Small batches in the form of CIFAR-10's original files."""

import struct

import numpy as np


def python_2_batch(label: bytes, labels: np.ndarray, pixels: np.ndarray) -> bytes:
    """A batch as the original files hold it: the pickle of Python 2, opcode by opcode."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    numbers = b"".join(b"K" + bytes([number]) for number in labels)
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
    kind = (
        b"cnumpy\ndtype\n"
        + text(b"u1")
        + b"K\x00K\x01\x87R(K\x03"
        + text(b"|")
        + b"NNN"
        + 2 * b"J\xff\xff\xff\xff"
        + b"K\x00tb"
    )
    shape = b"".join(b"J" + struct.pack("<i", side) for side in pixels.shape) + b"\x86"
    raw = b"T" + struct.pack("<i", pixels.size) + pixels.tobytes()
    filenames = b"".join(text(b"%d.png" % number) for number in range(len(labels)))
    items = (
        text(b"batch_label"),
        text(label),
        text(b"labels"),
        b"](",
        numbers,
        b"e",
        text(b"data"),
        array,
        b"(K\x01",
        shape,
        kind,
    )
    return b"\x80\x02}(" + b"".join(items) + b"\x89" + raw + b"tb" + text(b"filenames") + b"](" + filenames + b"eu."
