"""The bytes of a training of ResNet-20 equal those of ``netsim bytes`` from shapes alone."""

import numpy as np
import pytest

from netsim import Experiment, train
from netsim.models import Dataset, resnet20
from netsim.papers.published_bytes import compare, table2

TABLE = table2()
ROWS = {row["row"]: row for row in compare(TABLE)}


@pytest.fixture(scope="module")
def task():
    """Random images: sizes do not depend on them."""
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(16, 3 * 8 * 8)).astype(np.float32), np.arange(16, dtype=np.uint8) % 10
    return resnet20(Dataset("noise", x, y, x[:2], y[:2], 10), batch=2)


@pytest.mark.parametrize("row", TABLE.rows, ids=lambda row: row.label)
def test_table_2(task, row):
    run = train(Experiment(task, row.algorithm, TABLE.topology, steps=3, lr=0.01, device="cpu"))
    sent = run.trace.bits_per_worker()[
        -row.rounds :
    ].mean()  # at first all models are equal, and PowerGossip's edges wait
    assert sent == ROWS[row.label]["bits_per_step"]
    assert sent * TABLE.steps_per_epoch / 8 == ROWS[row.label]["bytes_per_epoch"]
