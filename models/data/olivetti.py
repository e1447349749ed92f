"""The Olivetti faces: images for gossip, of low rank, unlike noise."""

import hashlib
import io
from pathlib import Path

import numpy as np

from netsim.models.data.files import fetch, find_file, find_folder, read_verified

_BRIGHTEST = 242  # of all pixels
# name: (bytes, sha256)
_FILES = {
    "olivetti_faces_u8.npy": (1_638_528, "f4675846a7737863b5913460418a189c76b9a9d911df1098179bf8d67e254408"),
    "olivettifaces.mat": (1_432_511, "b1988d02c72fe5b8ee82b5ef3bb7982eafc74f1e1ff0ae0ade35061ad0af534d"),
}
# S. Roweis's own file, which the .mat above is saved anew from; scikit-learn publishes this sha256
_ORIGINAL_URL = "https://ndownloader.figshare.com/files/5976027"
_ORIGINAL_SHA256 = "b612fb967f2dc77c9c62d3e1266e0c73d5fca46a4b8906c18e454d41af987794"
_ORIGINAL_NAME = "olivettifaces-roweis.mat"
_PIXELS_SHA256 = "a3f75007cc103363b61a63e06bec8ea4846407682ef6e7c9ae1eb9c1bd0e8a00"  # of the faces, uint8, upright


def olivetti(path: str | Path | None = None, download: bool = False) -> np.ndarray:
    """Return the 400 grey faces, 64x64, ten of each of 40 people (Samaria and Harter 1994; the version of S. Roweis).

    Image i shows person i // 10.

    Parameters
    ----------
    path
        The folder with ``olivetti_faces_u8.npy`` (uint8, 400 x 64 x 64) or ``olivettifaces.mat``, read in this order; a
        subfolder ``olivetti`` of it is found too.
    download
        Without a path: download S. Roweis's file, once, into pooch's cache.

    Returns
    -------
    numpy.ndarray
        (400, 64, 64) float32, upright, from 0 to 1: the files' pixels divided by 242, as scikit-learn serves them.

    Raises
    ------
    ValueError
        There is neither path nor download, both files are missing, or the one found is cut short or not the expected
        one.
    """
    remedy = "olivettifaces.mat is in the repository sjgershm/DBM on GitHub, and olivetti(download=True) fetches the original"
    if path is None:
        if not download:
            raise ValueError(f"olivetti: no path was given; name the folder of {' or '.join(_FILES)}: {remedy}")
        file = fetch(_ORIGINAL_URL, _ORIGINAL_SHA256, _ORIGINAL_NAME) / _ORIGINAL_NAME
        raw = io.BytesIO(file.read_bytes())
    else:
        file = find_file(find_folder(path, ["olivetti"], list(_FILES), remedy), _FILES, remedy)
        size, sha256 = _FILES[file.name]
        raw = io.BytesIO(read_verified(file, sha256, size, remedy))
    if file.suffix == ".npy":
        pixels = np.load(raw, allow_pickle=False)
    else:
        from scipy.io import loadmat  # slow to import

        # an image a column, column by column
        pixels = loadmat(raw)["faces"].T.reshape(400, 64, 64).transpose(0, 2, 1).astype(np.uint8, order="C")
    found = hashlib.sha256(pixels.tobytes()).hexdigest()
    if found != _PIXELS_SHA256:
        raise ValueError(
            f"{file}: other faces: the sha256 of their pixels is {found}, expected {_PIXELS_SHA256}; {remedy}"
        )
    return pixels.astype(np.float32) / np.float32(_BRIGHTEST)
