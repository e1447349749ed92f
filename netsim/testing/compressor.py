"""Conformance checks of a compressor: whether it keeps what it claims."""

from typing import Any

import numpy as np

from netsim.algorithms.compression import Compressor, CompressorClaims, Message
from netsim.algorithms.description import name_of
from netsim.comm.contracts import check_message
from netsim.device import Key, make_key, to_host
from netsim.errors import NetsimError
from netsim.testing.guard import guard
from netsim.testing.harness import mean_and_error, size_of
from netsim.testing.linear import linear_checks
from netsim.testing.report import Fault, Report, examine

# sizes next to whole bytes and powers of two, one number, many and few dimensions
MODELS: tuple[dict[str, tuple[int, ...]], ...] = (
    {"w": (5, 7), "b": (9,), "one": (1,), "scalar": (), "kernel": (2, 3, 4)},
    {"x": (1,)},
    {"x": (16,)},
    {"x": (3, 11), "y": (17,)},
)
MAIN = MODELS[0]
KEYS = 200  # independent draws of a statistic


def check_compressor(compressor: Any) -> Report:
    """Check that a compressor keeps what it claims, print a line for each property, and raise where it does not.

    Its ``claims`` (:class:`netsim.algorithms.compression.CompressorClaims`) are checked, or, without them, that it is unbiased and a contraction.

    Parameters
    ----------
    compressor
        An object with ``compress``, ``encode`` and ``decode`` (:class:`netsim.algorithms.compression.Compressor`), or one of EdgeGossip's, with
        ``draw``, ``project`` and ``lift`` (:class:`netsim.algorithms.edge_gossip.LinearCompressor`).

    Returns
    -------
    Report
        PASSED or NOT CLAIMED for every property.

    Raises
    ------
    ConformanceError
        An AssertionError: a check FAILED; the message has a line for each.
    NetsimError
        It is not a compressor.
    """
    report = examine_compressor(compressor)
    print(report)
    report.raise_for_failures()
    return report


def is_compressor(value: Any) -> bool:
    """Return whether a value has the functions of a compressor."""
    return all(callable(getattr(value, name, None)) for name in ("compress", "encode", "decode"))


def is_linear(value: Any) -> bool:
    """Return whether a value has the functions of a linear compressor."""
    return all(callable(getattr(value, name, None)) for name in ("draw", "project", "lift"))


def examine_compressor(compressor: Any) -> Report:
    """Check a compressor as :func:`check_compressor` does, and return the report, failures included."""
    if isinstance(compressor, type) or not (is_compressor(compressor) or is_linear(compressor)):
        raise NetsimError(
            f"{name_of(compressor)} is no compressor: give an object with compress, encode and decode, such as TopK(0.1)"
        )
    if not is_compressor(compressor):
        return examine(compressor, linear_checks(compressor))
    claims: CompressorClaims = getattr(compressor, "claims", CompressorClaims())
    return examine(
        compressor,
        {
            "decodes what it encodes": lambda: _comes_back(compressor),
            "honest about its bits": lambda: _honest(compressor),
            "pure": lambda: _pure(compressor),
            "deterministic under a key": lambda: _deterministic(compressor),
            "local": lambda: _local(compressor),
            "zeros, constants, tiny numbers": lambda: _edges(compressor),
            "clean of host/device mixing": lambda: _one_device(compressor),
            "unbiased": (lambda: _unbiased(compressor, claims)) if claims.unbiased else None,
            "contraction": (lambda: _contraction(compressor, claims)) if claims.contraction else None,
        },
    )


def wire_fault(compressor: Compressor, message: Message) -> str | None:
    """Compare a message with its encoded bytes; return the fault as text, or None.

    At float32 the bits are the bytes, rounded up to one a message; at float64 each number in full precision takes 32 more than it is billed.
    """
    wire = compressor.encode(message)
    value = to_host(message.value)
    billed = np.broadcast_to(to_host(message.bits), (len(value),))
    if len(wire) != len(value):
        return f"encode writes {len(wire)} messages for {len(value)} rows"
    for row, bits in enumerate(billed.tolist()):
        written = 8 * len(wire[row])
        beyond = written - bits
        if value.dtype == np.float64 and beyond >= 8 and beyond % 32 < 8:
            beyond %= 32
        if not 0 <= beyond < 8:
            size = value.shape[1]
            less = f"{abs(written - bits) / size:.3g} bits a number {'fewer' if beyond > 0 else 'more'} charged than the encoder writes"
            right = (
                "the indices, scales and counts that a receiver needs cost bits"
                if beyond > 0
                else "charge what encode writes"
            )
            return f"{less} ({bits} charged and {written} written for {size} numbers): {right}"
    decoded = compressor.decode(wire)
    if decoded.dtype != value.dtype or decoded.shape != value.shape:
        return f"decode(encode(message)) is {decoded.dtype} {decoded.shape}, the value is {value.dtype} {value.shape}"
    if decoded.tobytes() != value.tobytes():
        row, at = np.argwhere(decoded.view(f"u{value.itemsize}") != value.view(f"u{value.itemsize}"))[0]
        return (
            f"decode(encode(message)) is not value: {decoded[row, at]:.6g} instead of {value[row, at]:.6g} in row {row}; what the receiver "
            "computes must follow from the bytes, and random draws that it repeats must come from key.shared()"
        )
    return None


def _rows(seed: int, tensors: dict[str, tuple[int, ...]], dtype: str = "float32", count: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, size_of(tensors))).astype(dtype)


def _compressed(compressor: Any, x: np.ndarray, tensors: dict[str, tuple[int, ...]], seed: int = 0) -> Message:
    with np.errstate(all="ignore"):
        message = compressor.compress(x, make_key(0, "conformance", len(x), round=seed), tensors)
    check_message(message, x, compressor)
    return message


def _comes_back(compressor: Any) -> str:
    for tensors in MODELS:
        for dtype in ("float32", "float64"):
            for seed in range(3):
                _compare(compressor, _rows(seed, tensors, dtype), tensors, seed)
    return f"bit for bit, on {len(MODELS)} models at float32 and float64"


def _compare(compressor: Any, x: np.ndarray, tensors: dict[str, tuple[int, ...]], seed: int) -> None:
    message = _compressed(compressor, x, tensors, seed)
    decoded = compressor.decode(compressor.encode(message))
    if decoded.dtype != x.dtype or decoded.tobytes() != message.value.tobytes():
        raise Fault(wire_fault(compressor, message) or "decode(encode(message)) is not value")


def _honest(compressor: Any) -> str:
    cost: list[float] = []
    for tensors in MODELS:
        for dtype in ("float32", "float64"):
            for seed, x in enumerate(
                [_rows(0, tensors, dtype), _rows(1, tensors, dtype), *_hard_to_write(tensors, dtype).values()]
            ):
                message = _compressed(compressor, x, tensors, seed)
                fault = wire_fault(compressor, message)
                if fault and "charged" in fault:
                    raise Fault(f"{fault} ({dtype})")
                cost.append(float(np.mean(message.bits)) / x.shape[1])
    return f"{min(cost):.3g} to {max(cost):.3g} bits a number, what the encoder writes"


def _hard_to_write(tensors: dict[str, tuple[int, ...]], dtype: str) -> dict[str, np.ndarray]:
    """Return rows of zeros, constants and tiny numbers, each with one sign and with both."""
    size = size_of(tensors)
    signs = np.stack([np.ones(size), np.resize([1, -1], size)])
    return {f"{number:g}": (number * signs).astype(dtype) for number in (0.0, -0.0, 0.75, -3e4, 1e-42, -1e-30)}


def _pure(compressor: Any) -> str:
    for dtype in ("float32", "float64"):
        x = _rows(1, MAIN, dtype)
        before = x.copy()
        message = _compressed(compressor, x, MAIN)
        if x.tobytes() != before.tobytes():
            raise Fault("compress changes its input in place: work on a copy")
        codes = {name: to_host(array).copy() for name, array in message.codes.items()}
        value = message.value.copy()
        compressor.decode(compressor.encode(message))
        if value.tobytes() != message.value.tobytes() or any(
            codes[name].tobytes() != to_host(array).tobytes() for name, array in message.codes.items()
        ):
            raise Fault("encode changes its message in place: work on a copy")
    return "x and the message are left as they were"


def _deterministic(compressor: Any) -> str:
    x = _rows(2, MAIN)
    first, second = (_compressed(compressor, x, MAIN, seed=5) for _ in range(2))
    if first.value.tobytes() != second.value.tobytes() or (np.asarray(first.bits) != np.asarray(second.bits)).any():
        raise Fault("two messages of one x and one key differ: draw from the key alone")
    return "one key, one message"


def _local(compressor: Any) -> str:
    x = _rows(3, MAIN, count=6)
    plain = _compressed(compressor, x, MAIN)
    for what, factor in (("grows", 1e4), ("vanishes", 0.0), ("is not a number", np.nan)):
        for changed in (0, 3):
            other = x.copy()
            other[changed] *= factor
            message = _compressed(compressor, other, MAIN)
            for row in range(len(x)):
                same = message.value[row].tobytes() == plain.value[row].tobytes()
                if row != changed and not same:
                    raise Fault(
                        f"row {row} is compressed otherwise when row {changed} {what}: a norm, a scale, a threshold or a draw is shared across "
                        "workers; take it of each row on its own (axis=1)"
                    )
    return "row i of the value depends on row i alone"


def _edges(compressor: Any) -> str:
    for tensors in MODELS:
        for dtype in ("float32", "float64"):
            for number, x in _hard_to_write(tensors, dtype).items():
                message = _compressed(compressor, x, tensors)
                if not np.isfinite(message.value).all():
                    raise Fault(f"rows of {number} decode to numbers that are not finite ({dtype}): mind a scale of 0")
                fault = wire_fault(compressor, message)
                if fault and "charged" not in fault:
                    raise Fault(f"rows of {number}: {fault}")
    return "finite, and they come back from the wire"


def _one_device(compressor: Any) -> str:
    for dtype in ("float32", "float64"):
        x, key = _rows(4, MAIN, dtype), make_key(4, "conformance", 4)
        there: Key = Key(guard.asarray(key.words), guard.asarray(key.common))
        with np.errstate(all="ignore"):
            message = compressor.compress(guard.asarray(x), there, MAIN)
        for name, array in (
            ("value", message.value),
            *((f"codes[{name!r}]", array) for name, array in message.codes.items()),
        ):
            if isinstance(array, np.ndarray):
                raise Fault(f"{name} is NumPy's where x is a device's: compute with the namespace of x")
        if compressor.decode(compressor.encode(message)).tobytes() != to_host(message.value).tobytes():
            raise Fault("decode(encode(message)) is not value where arrays are a device's")
    return "runs on arrays that refuse NumPy's, without waiting for the device"


def _draws(compressor: Any) -> bool:
    """Return whether what is decoded depends on the key."""
    x = _rows(8, MAIN)
    return len({_compressed(compressor, x, MAIN, seed).value.tobytes() for seed in range(20)}) > 1


def _errors(compressor: Any, x: np.ndarray, dtype: str, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return C(x) - x averaged over equal rows, (keys, P), and the mean of ||C(x) - x||² / ||x||² over them, (keys,)."""
    tiled = np.tile(x, (rows, 1)).astype(dtype)
    keys = KEYS if _draws(compressor) else 1
    means, squares = np.empty((keys, x.size)), np.empty(keys)
    for draw in range(keys):
        error = _compressed(compressor, tiled, MAIN, seed=draw).value.astype("float64") - tiled
        means[draw], squares[draw] = error.mean(axis=0), (error**2).sum() / (tiled.astype("float64") ** 2).sum()
    return means, squares


def _unbiased(compressor: Any, claims: CompressorClaims) -> str:
    size = size_of(MAIN)
    even, normal = np.linspace(-0.93, 0.99, size), _rows(6, MAIN, "float64", 1)[0] / 4
    for kind, dtype, x in (("even", "float32", even), ("normal", "float64", normal)):
        x = np.clip(x, -1, 1)
        if claims.within is not None:
            low, high = claims.within
            x = low + (high - low) * (x + 1) / 2
        means, _ = _errors(compressor, x, dtype, rows=8)
        bias, error = mean_and_error(means)
        worst = int(np.argmax(np.abs(bias) - 6 * error))
        if abs(bias[worst]) > 6 * error[worst] + 1e-4 * np.abs(x).max():
            raise Fault(
                f"{x[worst]:.3g} becomes {x[worst] + bias[worst]:.3g} in the mean over {KEYS} keys ({kind} numbers, {dtype}), "
                f"more than 6 standard errors ({error[worst]:.2g} each) off: not unbiased; between two levels go up with probability "
                "(x - low) / (high - low), or declare CompressorClaims(unbiased=False)"
            )
    return f"within 6 standard errors over {KEYS} keys"


def _contraction(compressor: Any, claims: CompressorClaims) -> str:
    delta = 0.0 if claims.contraction is True else float(claims.contraction)
    worst = 0.0
    for kind, x in _hard_rows().items():
        _, squares = _errors(compressor, x, "float64", rows=2)
        mean, error = float(squares.mean()), float(squares.std()) / KEYS**0.5
        worst = max(worst, mean)
        bound = 1 - delta + 6 * error + 1e-6 if delta else 1 - 1e-9
        if not mean <= bound:
            claimed = f"at most {1 - delta:.4g}" if delta else "less than 1"
            raise Fault(
                f"E||C(x) - x||² is {mean:.4g} ||x||² for {kind}, must be {claimed} of a contraction: keep what is largest in magnitude, "
                "shrink what is scaled up, or declare CompressorClaims(contraction=False)"
            )
    return f"E||C(x) - x||² is at most {worst:.3g} ||x||² over {len(_hard_rows())} kinds of x"


def _hard_rows() -> dict[str, np.ndarray]:
    size = size_of(MAIN)
    draws = np.random.default_rng(7)
    spike = np.zeros(size)
    spike[[3, 40, 44, 45, 60]] = 1.0
    return {
        "normal numbers": draws.standard_normal(size),
        "heavy tails": draws.standard_cauchy(size) ** 3,
        "equal numbers": np.ones(size),
        "negative numbers": -np.abs(draws.standard_normal(size)),
        "a few large numbers": spike,
        "a few large negative numbers": -spike,
    }
