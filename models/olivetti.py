"""The Olivetti faces: images to gossip on, of low rank where noise is not."""

import io
from pathlib import Path

import numpy as np

from models.files import find_file, find_folder, read_verified

_BRIGHTEST = 242  # of all pixels
# name: (bytes, sha256)
_FILES = {
    "olivetti_faces_u8.npy": (1_638_528, "f4675846a7737863b5913460418a189c76b9a9d911df1098179bf8d67e254408"),
    "olivettifaces.mat": (1_432_511, "b1988d02c72fe5b8ee82b5ef3bb7982eafc74f1e1ff0ae0ade35061ad0af534d"),
}


def olivetti(path: str | Path) -> np.ndarray:
    """Return the 400 grey faces, 64x64, ten of each of 40 people (Samaria and Harter 1994; the version of S. Roweis).

    Image i shows person i // 10.

    Parameters
    ----------
    path
        The folder with ``olivetti_faces_u8.npy`` (uint8, 400 x 64 x 64) or ``olivettifaces.mat``, read in this order; a
        subfolder ``olivetti`` of it is found too.

    Returns
    -------
    numpy.ndarray
        (400, 64, 64) float32, upright, from 0 to 1: the files' pixels divided by 242, as scikit-learn serves them.

    Raises
    ------
    ValueError
        Both files are missing, or the one found is cut short or not the expected one.
    """
    remedy = "olivettifaces.mat is in the repository sjgershm/DBM on GitHub"
    file = find_file(find_folder(path, ["olivetti"], list(_FILES), remedy), _FILES, remedy)
    size, sha256 = _FILES[file.name]
    raw = io.BytesIO(read_verified(file, sha256, size, remedy))
    if file.suffix == ".npy":
        pixels = np.load(raw, allow_pickle=False)
    else:
        from scipy.io import loadmat  # slow to import

        pixels = loadmat(raw)["faces"].T.reshape(400, 64, 64).transpose(0, 2, 1)  # an image a column, column by column
    return np.ascontiguousarray(pixels, dtype=np.float32) / np.float32(_BRIGHTEST)
