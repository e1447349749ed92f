"""All features of a network together, against an exact reference."""

from fractions import Fraction

import numpy as np
from by_hand import STEPS, build
from hypothesis import given, settings
from hypothesis import strategies as st
from sending import finish

from netsim import Network
from tests.oracles.network import Exact

FIXED = {
    "duplex": st.sampled_from(["full", "half"]),
    "sharing": st.sampled_from(["fifo", "fifo", "fifo", "none"]),
    "handshakes": st.integers(0, 2),
}


@settings(deadline=None, max_examples=200)
@given(n=st.integers(2, 5), steps=STEPS, data=st.data(), fixed=st.fixed_dictionaries(FIXED))
def test_equals_the_exact_reference_where_ties_abound(n, steps, data, fixed):
    """All numbers are small multiples of a quarter or an eighth, so floats are exact, and many things happen at once."""
    latency = st.sampled_from([0.0, 0.5, 1.0, 2.0])
    speed = st.sampled_from([0.5, 1.0, 2.0, 4.0, np.inf])

    def table(element, shape):
        return np.array(data.draw(st.lists(element, min_size=shape, max_size=shape)))

    network = Network(
        data.draw(st.one_of(latency, st.builds(lambda: table(latency, n * n).reshape(n, n)))),
        data.draw(st.one_of(speed, st.builds(lambda: table(speed, n * n).reshape(n, n)))),
        overhead=data.draw(st.sampled_from([0.0, 0.0, 0.5])),
        framing=data.draw(st.sampled_from([1.0, 1.5])),
        egress=data.draw(st.one_of(st.none(), speed, st.builds(lambda: table(speed, n)))),
        ingress=data.draw(st.one_of(st.none(), speed, st.builds(lambda: table(speed, n)))),
        **fixed,
    )
    programs = build(n, steps, 0.5)
    times = finish(network, *programs)
    assert [Fraction(time) for time in times] == Exact(programs, network).finish()


@settings(deadline=None, max_examples=100)
@given(n=st.integers(2, 5), steps=STEPS, seed=st.integers(0, 10**6), fixed=st.fixed_dictionaries(FIXED))
def test_equals_the_exact_reference_on_any_numbers(n, steps, seed, fixed):
    random = np.random.default_rng(seed)
    network = Network(
        random.uniform(0, 2, (n, n)),
        random.uniform(0.3, 4, (n, n)),
        overhead=random.choice([0.0, 0.3]),
        framing=1.0456,
        egress=None if seed % 2 else random.uniform(0.3, 4, n),
        ingress=None if seed % 3 else random.uniform(0.3, 4, n),
        **fixed,
    )
    programs = [
        [("compute", random.uniform(0, 3)) if one[0] == "compute" else one for one in program]
        for program in build(n, [(*step[:3], random.uniform(0.1, 4)) for step in steps], 1.0)
    ]
    exact = [float(time) for time in Exact(programs, network).finish()]
    np.testing.assert_allclose(finish(network, *programs), exact, rtol=1e-12)
