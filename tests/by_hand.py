"""Random traces by programs, without deadlocks."""

from hypothesis import strategies as st


def build(n: int, steps: list[tuple], grain: float) -> list[list[tuple]]:
    """Programs in which everybody that waits is sent what it waits for before, in one order of all steps: no circles."""
    programs: list[list[tuple]] = [[] for _ in range(n)]
    pending: list[tuple[int, int, int]] = []
    for kind, a, b, size in steps:
        i = a % n
        j = (i + 1 + b % (n - 1)) % n
        if kind == "compute":
            programs[i].append(("compute", size * grain))
        elif kind == "flush":
            programs[i].append(("flush",))
        elif kind == "send":
            programs[i].append(("send", j, size, b % 2))
            pending.append((j, i, b % 2))
        elif pending:
            receiver, sender, tag = pending.pop(a % len(pending))
            programs[receiver].append(("recv", sender, tag))
    return programs


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["send", "send", "send", "recv", "recv", "compute", "flush"]),
        st.integers(0, 99),
        st.integers(0, 99),
        st.integers(0, 4),
    ),
    min_size=4,
    max_size=36,
)
