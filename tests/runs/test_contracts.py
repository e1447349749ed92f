"""A user's task, algorithm, compressor or schedule that breaks its contract: one line names the method, the round and what was expected."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from netsim import Experiment, NetsimError, Network, consensus, sweep, topology, train
from netsim.algorithms import DPSGD, AllReduceSGD, ChocoSGD, Identity, Sign, TopK
from netsim.algorithms.compression import Message
from netsim.algorithms.protocol import Models
from netsim.models import LeastSquares
from netsim.runs.contracts import OF_A_SWEEP, OF_THE_HISTORY

RING = topology.ring(3)
PLACES = np.arange(6.0).reshape(3, 2)


class Pull:
    """Three workers that pull two numbers to their own places; ``wrong`` replaces what a method returns."""

    tensors: ClassVar[Any] = {"a": (1,), "b": (1, 1)}

    def __init__(self, **wrong):
        self.wrong = wrong

    def _or(self, name, right, *given):
        return self.wrong[name](*given) if name in self.wrong else right

    def initial(self, seed):
        return self._or("initial", np.zeros(2))

    def gradient(self, x, step):
        return self._or("gradient", (((x - PLACES) ** 2).sum(axis=1), x - PLACES), x, step)

    def evaluate(self, x):
        return self._or("evaluate", {"loss": float(((x - 3) ** 2).sum())}, x)


@dataclass(frozen=True)
class Stepping:
    """D-PSGD, gradient first; ``init`` and ``step`` return what ``wrong`` makes of the models, from the second round on."""

    wrong: Any = None
    at: str = "step"

    def init(self, x, comm):
        return self.wrong(x) if self.at == "init" else Models(x)

    def step(self, state, gradient, lr, comm):
        x = comm.mix(comm.send(Identity(), state.x - lr * gradient(state.x)))
        return self.wrong(x) if self.at == "step" and state.x.any() else Models(x)


def run(task=None, algorithm=None, **settings):
    return train(Experiment(task or Pull(), algorithm or DPSGD(), RING, 4, **{"lr": 0.1, **settings}))


def refused(match, task=None, algorithm=None, **settings):
    with pytest.raises(NetsimError, match=match) as caught:
        run(task, algorithm, **settings)
    assert "\n" not in str(caught.value) and "0x" not in str(caught.value)


# a task

GRADIENTS = {
    "of one worker": (lambda x, step: (x[:, 0], x[0]), r"loss \(3,\) float32, grad \(2,\) float32; expected .*: loss \(3,\) and grad \(3, 2\)"),
    "swapped": (lambda x, step: (x, x[:, 0]), r"loss \(3, 2\) float32, grad \(3,\) float32; expected \(loss, grad\), in this order: "),
    "loss of one number": (lambda x, step: (x.sum(), x), r"loss \(\) float32, grad \(3, 2\) float32; expected .*loss \(3,\) and"),
    "a float as loss": (lambda x, step: (0.5, x), r"loss a float, grad \(3, 2\) float32; expected .*loss \(3,\) and"),
    "complex": (lambda x, step: (x[:, 0], x + 1j), r"grad \(3, 2\) complex64; expected .* of real numbers"),
    "whole": (lambda x, step: (x[:, 0], x.astype(int)), r"grad \(3, 2\) int64; expected .* of real numbers"),
    "objects": (lambda x, step: (x[:, 0], x.astype(object)), r"grad \(3, 2\) object; expected .* of real numbers"),
    "alone": (lambda x, step: x, r"round 0 \(3, 2\) float32; expected \(loss, grad\), in this order: loss \(3,\) and"),
    "nothing": (lambda x, step: None, r"round 0 None; expected \(loss, grad\)"),
    "three": (lambda x, step: (x[:, 0], x, x), r"expected \(loss, grad\)"),
    "a list": (lambda x, step: (x[:, 0], x.tolist()), r"grad a list; expected"),
}  # fmt: skip


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_a_gradient_of_another_form_is_refused(gradient):
    wrong, match = GRADIENTS[gradient]
    refused(rf"^Pull\.gradient: returned in round 0 .*{match.removeprefix('round 0 ')}", Pull(gradient=wrong))


def test_it_is_refused_in_the_round_in_which_it_comes():
    def late(x, step):
        return (x[:, 0], x[:, :1]) if step == 2 else (x[:, 0], x)

    refused(r"Pull\.gradient: returned in round 2 .*grad \(3, 1\) float32; expected .*\(3, 2\)", Pull(gradient=late))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_gradient_of_another_precision_is_rounded_to_the_runs(dtype):
    """NumPy widens float32 by a float64 array; the arithmetic of the run is what the experiment says."""
    other = "float64" if dtype == "float32" else "float32"

    def gradient(x, step):
        seen.append(x.dtype)
        return x[:, 0].astype(other), (x - PLACES).astype(other)

    seen = []
    found = run(Pull(gradient=gradient), dtype=dtype, momentum=0.9)
    assert found.x.dtype == dtype and set(seen) == {np.dtype(dtype)}


@pytest.mark.parametrize(
    "change", [lambda x: x.fill(0.0), lambda x: np.multiply(x, 1.0, out=x), lambda x: x.__imul__(2)]
)
def test_a_task_that_changes_the_models_in_place_is_refused(change):
    def gradient(x, step):
        change(x)
        return x[:, 0], x

    def evaluate(x):
        change(x)
        return {"loss": 1.0}

    refused(
        r"^Pull\.gradient: changes x in place, in round 0: leave x as it is, and work on a copy$",
        Pull(gradient=gradient),
    )
    refused(r"^Pull\.evaluate: changes x in place, in round 0", Pull(evaluate=evaluate), evaluate="each")


def test_an_error_of_the_tasks_own_is_its_own():
    def gradient(x, step):
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        run(Pull(gradient=gradient))


EVALUATIONS = {
    "without a loss": ({"accuracy": 1.0}, r"only 'accuracy'; expected \{name: number\} with \"loss\""),
    "empty": ({}, r"only nothing; expected"),
    "a number": (0.5, r"a float; expected \{name: number\}"),
    "nothing": (None, r"None; expected"),
    "text": ({"loss": "0.5"}, r"'loss' as a str; expected a real number"),
    "none": ({"loss": 0.5, "accuracy": None}, r"'accuracy' as None; expected a real number"),
    "complex": ({"loss": 1j}, r"'loss' as a complex; expected a real number"),
    "a name with a slash": ({"loss": 0.5, "top/5": 1.0}, r"'top/5', a name that no file of results can hold"),
    "no name": ({"loss": 0.5, "": 1.0}, r"'', a name that no file of results can hold"),
    "many": ({"loss": np.zeros(3)}, r"'loss' as \(3,\) float64; expected a real number"),
    **{name: ({"loss": 0.5, name: 1.0}, rf"'{name}', a name that results have for something else; choose another, such as 'my_{name}'")
       for name in ("step", "lr", "time", "bits", "batch_loss", "consensus", "each_loss", "worker", "latency", "speedup")},
}  # fmt: skip


@pytest.mark.parametrize("evaluation", EVALUATIONS)
def test_an_evaluation_without_a_loss_or_with_a_name_of_the_results_is_refused(evaluation):
    found, match = EVALUATIONS[evaluation]
    refused(rf"^Pull\.evaluate: returned after 0 steps {match}", Pull(evaluate=lambda x: found))


def test_an_evaluation_with_other_names_than_before_is_refused():
    def evaluate(x):
        return {"loss": 0.5, "accuracy": 1.0} if not x.any() else {"loss": 0.5}

    refused(
        r"Pull\.evaluate: returned after 1 steps loss; expected the names of the first time: loss, accuracy",
        Pull(evaluate=evaluate),
    )


def test_numbers_of_any_kind_are_numbers():
    def evaluate(x):
        return {"loss": np.float32(0.5), "zero_d": np.array(2.0), "whole": 3, "nan": np.nan, "right": np.bool_(True)}

    history = run(Pull(evaluate=evaluate)).history
    assert history.loss.values[0] == 0.5 and history.zero_d.values[0] == 2.0 and history.whole.values[0] == 3


def test_the_names_of_the_results_are_all_reserved():
    """A variable that is added to the history or to a sweep is reserved, too."""
    grid = Network.grid(latency=[0.1], bandwidth=[1e6])
    runs = [run(), run(algorithm=AllReduceSGD())]
    held = (
        {*runs[0].history.variables},
        {*sweep(runs, grid, target=0.1).variables},
        {*sweep(runs, list(grid)[:1], target=0.1).variables},
    )
    assert held[0] - {"loss"} <= OF_THE_HISTORY
    assert (held[1] | held[2]) - {"loss"} <= OF_THE_HISTORY | OF_A_SWEEP


@pytest.mark.parametrize(
    ("initial", "match"),
    [
        (np.zeros(3), r"returned \(3,\) float64; the tensors \{'a': \(1,\), 'b': \(1, 1\)\} need \(2,\) real numbers"),
        (np.zeros((1, 2)), r"returned \(1, 2\) float64; .*need \(2,\)"),
        (np.zeros(2, complex), r"returned \(2,\) complex128; .*real numbers"),
        (np.array(["a", "b"]), r"returned \(2,\) <U1; .*real numbers"),
        (None, r"returned \(\) object"),
    ],
)
def test_an_initial_model_of_another_size_or_kind_is_refused(initial, match):
    refused(rf"^Pull\.initial: {match}", Pull(initial=lambda: initial))


@pytest.mark.parametrize(
    "tensors", [{}, {"a": (0,)}, {"a": 2}, [("a", (2,))], None, {"a": (1.5,)}, {1: (2,)}, {"a": (-1, -2)}]
)
def test_tensors_that_are_none_are_refused(tensors):
    task = Pull()
    task.tensors = tensors
    refused(r"^Pull\.tensors: .*; expected the tensors of one model as \{name: shape\}, such as", task)


def test_a_task_without_tensors_is_refused():
    class Bare:
        def initial(self, seed):
            return np.zeros(2)

        def gradient(self, x, step):
            return x.sum(axis=1), x

        def evaluate(self, x):
            return {"loss": 0.0}

    refused(r"^Bare\.tensors: None; expected the tensors of one model as \{name: shape\}, such as", Bare())


def test_a_task_that_is_bound_to_nothing_is_refused():
    class Unbound(Pull):
        def bind(self, n, seed, xp, dtype):
            pass

    refused(r"^Unbound\.bind: returned None; expected a task, with initial, gradient and evaluate", Unbound())


class Buffered(Pull):
    """Counts, for every worker; ``wrong`` as before."""

    def initial_buffers(self, n):
        return self._or("initial_buffers", np.zeros((n, 1)))

    def gradient(self, x, step, buffers):
        return *super().gradient(x, step), self._or("buffers", buffers + 1)

    def evaluate(self, x, buffers):
        return super().evaluate(x)


def test_buffers_of_another_form_are_refused():
    assert run(Buffered()).trace.rounds == 4
    refused(
        r"^Buffered\.initial_buffers: returned \(3,\) float64; expected \(3, Q\)",
        Buffered(initial_buffers=lambda: np.zeros(3)),
    )
    refused(r"^Buffered\.gradient: returned in round 0 .*buffers \(3, 2\) float64; expected .* and buffers \(3, 1\)",
            Buffered(buffers=lambda: np.zeros((3, 2))))  # fmt: skip


# an algorithm

STATES = {
    "nothing": (lambda x: None, r"None; expected a state with \.x, the models, such as netsim\.algorithms\.Models\(x\)"),
    "an array": (lambda x: x, r"\(3, 2\) float32; expected a state with \.x"),
    "a list": (lambda x: [x], r"a list; expected a state with \.x"),
    "a dict": (lambda x: {"x": x}, r"a dict; expected a state with \.x"),
    "a column more": (lambda x: Models(np.hstack([x, x[:, :1]])), r"models of \(3, 3\) float32; expected \(3, 2\) float32, row i being"),
    "one row": (lambda x: Models(x[:1]), r"models of \(1, 2\) float32; expected \(3, 2\) float32"),
    "double precision": (lambda x: Models(x.astype("float64")), r"models of \(3, 2\) float64; expected \(3, 2\) float32"),
    "complex": (lambda x: Models(x + 0j), r"models of \(3, 2\) complex64; expected"),
    "models as a list": (lambda x: Models(x.tolist()), r"models of a list; expected"),
}  # fmt: skip


@pytest.mark.parametrize("state", STATES)
def test_a_state_without_the_models_is_refused(state):
    wrong, match = STATES[state]
    refused(rf"^Stepping\(.*\): step returned in round 1 {match}", algorithm=Stepping(wrong))
    refused(rf"^Stepping\(.*\): init returned {match}", algorithm=Stepping(wrong, at="init"))
    with pytest.raises(NetsimError, match=rf"^Stepping\(.*\): step returned in round 0 {match}"):
        consensus(PLACES + 1, Stepping(wrong), RING, 3, dtype="float32")


def test_a_gradient_asked_for_elsewhere_is_refused():
    for asked, match in (
        (lambda x: x[:1], r"\(1, 2\) float32"),
        (lambda x: x[0], r"\(2,\) float32"),
        (lambda x: x.astype("float64"), r"\(3, 2\) float64"),
        (lambda x: None, "None"),
    ):

        class Asks(DPSGD):
            def step(self, state, gradient, lr, comm, asked=asked):
                return Models(comm.mix(comm.send(Identity(), state.x)) - lr * gradient(asked(state.x)))

        refused(
            rf"^Asks\(\): step called gradient in round 0 with {match}; expected models, \(3, 2\) float32",
            algorithm=Asks(),
        )


def test_models_that_nobody_sent_cannot_be_mixed():
    class Silent(DPSGD):
        def step(self, state, gradient, lr, comm):
            return Models(comm.mix(state.x) - lr * gradient(state.x))

    class Late(DPSGD):
        """Mixes the common model, which all hold, and sends from the third round on."""

        def step(self, state, gradient, lr, comm):
            g, x = gradient(state.x), comm.mix(state.x * 0)
            return Models(comm.mix(comm.send(Identity(), state.x)) - lr * g) if state.x.any() else Models(x - lr * g)

    refused(
        r"^comm\.mix: round 1: mixes rows that were never sent: no worker knows another's; send them first",
        algorithm=Silent(),
    )
    assert run(algorithm=Late()).trace.rounds == 4


class Waits(DPSGD):
    """Waits for ``what`` it makes of a post, too."""

    def __init__(self, what):
        object.__setattr__(self, "what", what)

    def step(self, state, gradient, lr, comm):
        posted = comm.post(Identity(), state.x)
        g, heard = gradient(state.x), comm.wait(posted)
        comm.wait(self.what(posted))
        return Models(comm.mix(heard) - lr * g)


@pytest.mark.parametrize(
    ("what", "match"),
    [
        (lambda posted: posted, "round 0: the post of round 0 was waited for already"),
        (
            lambda posted: posted._replace(round=1),
            "round 0: the post of round 1 was waited for already, or is none of this run's",
        ),
        (
            lambda posted: posted._replace(position=7),
            "round 0: the post of round 0 was waited for already, or is none of this run's",
        ),
        (lambda posted: posted.value, r"round 0: got \(3, 2\) float32; expected what comm\.post returned, or None"),
    ],
)
def test_a_post_is_waited_for_once_and_only_when_it_was_posted(what, match):
    refused(rf"^comm\.wait: {match}", algorithm=Waits(what))


def test_a_post_that_nobody_waits_for_is_sent_and_billed():
    class Posts(DPSGD):
        def step(self, state, gradient, lr, comm):
            comm.post(Identity(), state.x)
            return Models(state.x - lr * gradient(state.x))

    found = run(algorithm=Posts())
    assert (found.trace.bits_per_worker() == 2 * 32 * 2).all()
    ds = sweep([found], [Network(latency=1.0, bandwidth=1e3, name="slow")], target=0.0, engine="simpy")
    assert np.isfinite(ds.time.values).all()


def test_what_is_sent_has_a_row_for_each_worker():
    for say, match in (
        (
            lambda comm, x: comm.send(Identity(), x[:1]),
            r"comm\.post: round 0: got \(1, 2\) float32; expected \(3, numbers\), a row for each worker",
        ),
        (
            lambda comm, x: comm.all_reduce(x[0]),
            r"comm\.all_reduce: round 0: got \(2,\) float32; expected \(3, numbers\)",
        ),
        (lambda comm, x: comm.push(Identity(), None), r"comm\.push: round 0: got None; expected \(3, numbers\)"),
        (
            lambda comm, x: comm.pull(Identity(), x),
            r"comm\.pull: round 0: got \(3, 2\) float32; expected \(1, numbers\), the server's row",
        ),
        (
            lambda comm, x: comm.exchange(x, x[:2]),
            r"comm\.exchange: round 0: got \(3, 2\) float32 and \(2, 2\) float32; expected \(3, numbers\) twice",
        ),
        (
            lambda comm, x: comm.exchange(x, x, x[:, 0]),
            r"comm\.exchange: round 0: numbers is \(3,\) float32; expected \(3,\) whole numbers",
        ),
        (
            lambda comm, x: comm.send(None, x),
            r"comm\.post: round 0: got None as compressor; expected an object with compress",
        ),
        (lambda comm, x: comm.send(TopK, x), r"comm\.post: round 0: got TopK as compressor"),
        (lambda comm, x: comm.mix(x[:2]), r"comm\.mix: round 0: got \(2, 2\) float32; expected \(3, …\)"),
    ):

        class Says(DPSGD):
            def step(self, state, gradient, lr, comm, say=say):
                say(comm, gradient(state.x))
                return state

        refused(match, algorithm=Says())


# a compressor


@dataclass(frozen=True)
class Wrong(Identity):
    """``wrong`` makes another message of the right one."""

    wrong: Any = None

    def compress(self, x, key, tensors):
        return self.wrong(Message(x.copy(), np.full(len(x), 64), {"x": x}, tensors))


def billing(bits):
    return lambda message: message._replace(bits=bits)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (billing(np.full(3, -5)), r"bits of \(3,\) int64, -5 among them; expected \(3,\) whole numbers, at least 0, what each row costs"),
        (billing(-5), r"bits of -5, -5 among them; expected"),
        (billing(2**70), r"bits of 1180591620717411303424; expected"),
        (billing(np.full(3, 3.7)), r"bits of \(3,\) float64; expected"),
        (billing(3.7), r"bits of 3\.7; expected"),
        (billing(np.full(3, np.nan)), r"bits of \(3,\) float64; expected"),
        (billing(True), r"bits of True; expected"),
        (billing(None), r"bits of None; expected"),
        (billing(np.full(2, 8)), r"bits of \(2,\) int64; expected \(3,\)"),
        (billing(np.full((3, 2), 8)), r"bits of \(3, 2\) int64; expected \(3,\)"),
        (lambda message: message._replace(value=message.value[:1]), r"a value of \(1, 2\) float32; expected \(3, 2\) float32, as what is sent"),
        (lambda message: message._replace(value=message.value.astype(float)), r"a value of \(3, 2\) float64; expected \(3, 2\) float32"),
        (lambda message: message.value, r"a value of None; expected"),
        (lambda message: None, r"a value of None; expected"),
    ],
)  # fmt: skip
def test_a_message_of_another_form_is_refused(wrong, match):
    @dataclass(frozen=True)
    class Compressor:
        def compress(self, x, key, tensors):
            return Wrong(wrong).compress(x, key, tensors)

    refused(rf"^.*Compressor\(\): compress returned in round 0 {match}", algorithm=ChocoSGD(Compressor(), 0.5))


def test_whole_numbers_of_any_kind_are_bits():
    for bits in (64, np.int64(64), np.full(3, 64, np.uint8), np.array(64)):

        @dataclass(frozen=True)
        class Compressor:
            bits: Any

            def compress(self, x, key, tensors):
                return Message(x.copy(), self.bits, {"x": x}, tensors)

        assert (run(algorithm=ChocoSGD(Compressor(bits), 0.5)).trace.bits_per_worker() == 2 * 64).all()


# a schedule


@pytest.mark.parametrize(
    ("lr", "match"),
    [
        (lambda step, epoch: 0.1, r"^lr: .*<lambda> is no schedule of one argument: step, from 0 -> learning rate"),
        (lambda: 0.1, r"^lr: .*<lambda> is no schedule of one argument"),
        (lambda step: np.nan, r"^lr: .*<lambda> returned nan for step 0; expected a finite number, at least 0"),
        (lambda step: None, r"^lr: .*<lambda> returned None for step 0; expected"),
        (lambda step: 1j, r"returned a complex for step 0; expected"),
        (lambda step: "0.1", r"returned a str for step 0; expected"),
        (lambda step: 0.1 if step < 3 else -0.1, r"returned -0\.1 for step 3; expected"),
        (lambda step: np.full(3, 0.1), r"returned \(3,\) float64 for step 0; expected"),
    ],
)
def test_a_schedule_that_is_none_is_refused_before_the_training(lr, match):
    with pytest.raises(NetsimError, match=match) as caught:
        Experiment(Pull(), DPSGD(), RING, 4, lr=lr)
    assert "0x" not in str(caught.value)


def test_every_step_of_a_schedule_is_looked_at_when_it_comes():
    with pytest.raises(NetsimError, match=r"returned nan for step 5; expected a finite number"):
        train(Experiment(Pull(), DPSGD(), RING, 1000, lr=lambda step: np.nan if step == 5 else 1e-3))


# gossip alone, and sweeps


def test_gossip_stores_the_rounds_that_it_is_asked_for():
    found = consensus(PLACES, DPSGD(), RING, 5, record=[0, 2, 5], evaluate_every=5)
    start, between, end = found.trajectory([0, 2, 5]).values()
    np.testing.assert_array_equal(start, PLACES)
    np.testing.assert_array_equal(between, consensus(PLACES, DPSGD(), RING, 2).x)
    np.testing.assert_array_equal(end, found.x)
    with pytest.raises(NetsimError, match=r"step 3 was not recorded"):
        found.trajectory([3])
    with pytest.raises(NetsimError, match=r"^record = \[6\]: must be steps from 0 to 5"):
        consensus(PLACES, DPSGD(), RING, 5, record=[6])


def test_gossip_of_what_are_no_real_numbers_is_refused():
    for x0, match in (
        (PLACES + 1j, r"x0: got \(3, 2\) complex128; expected real numbers"),
        (PLACES.astype(str), "x0: got .*expected real numbers"),
    ):
        with pytest.raises(NetsimError, match=match):
            consensus(x0, DPSGD(), RING, 2)
    with pytest.raises(NetsimError, match=r"consensus\.tensors: \{\}; expected the tensors"):
        consensus(PLACES, DPSGD(), RING, 2, tensors={})


def experiments(*targets):
    return [Experiment(Pull(), ChocoSGD(TopK(0.5), 0.5), RING, 2, target=target) for target in targets]


NETWORK = Network(latency=1e-3, bandwidth=1e6, name="a")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((experiments(None), NETWORK), r"^sweep: networks is one Network: write it in a list, \[a\]"),
        ((experiments(None)[0], [NETWORK]), r"^sweep: experiments is one Experiment: write it in a list"),
        ((experiments(None), None), r"^sweep: networks = None: must be a list"),
        ((None, [NETWORK]), r"^sweep: experiments = None: must be a list"),
        (([DPSGD()], [NETWORK]), r"^sweep: experiments = DPSGD\(\): must be a list of experiments, or of runs"),
        ((experiments(None), []), r"^sweep: give at least one experiment and one network"),
        ((experiments(0.2, None, 0.3), [NETWORK]), r"^sweep: the experiments have the targets 0\.2, 0\.3: give all the same, or sweep\(target="),
    ],
)  # fmt: skip
def test_a_sweep_of_what_cannot_be_swept_is_refused_before_the_training(monkeypatch, arguments, match):
    monkeypatch.setattr("netsim.runs.sweeping.train", None)
    with pytest.raises(NetsimError, match=match):
        sweep(*arguments)


def test_experiments_of_one_target_may_leave_it_out():
    assert sweep(experiments(0.2, None, 0.2), [NETWORK]).target == 0.2
    assert sweep(experiments(0.2, 0.3), [NETWORK], target=0.5).target == 0.5


def test_no_result_holds_an_address():
    """Of a task, a schedule and a compute model of plain classes and functions."""

    class Pareto:
        def __init__(self):
            self.shape = 2.5

        def draw(self, rounds, n):
            return np.ones((rounds, n))

    found = run(lr=lambda step: 0.1)
    ds = sweep([found], [Network(latency=1e-3, bandwidth=1e6, compute=Pareto(), name="a")], target=0.1, engine="simpy")
    said = [
        *found.history.attrs.values(),
        *ds.attrs.values(),
        *(one for array in ds.variables.values() for one in array.values.ravel()),
    ]
    assert not [one for one in map(str, said) if "0x" in one]
    assert found.history.attrs["task"] == "Pull(wrong={})" or found.history.attrs["task"] == "Pull()"
    assert "Pareto(shape=2.5)" in map(str, said)


def test_hyperparameters_of_numpy_do_not_promote_the_models():
    """``for gamma in np.geomspace(...)`` gives numbers of NumPy, which in arithmetic are float64."""
    task = LeastSquares.random(n=4, dimension=3)
    plain, numpy = (
        train(
            Experiment(task, ChocoSGD(Sign(), real(0.1)), topology.ring(4), whole(5), lr=real(0.1), momentum=real(0.5))
        )
        for real, whole in ((float, int), (np.float64, np.int64))
    )
    assert numpy.x.dtype == np.float32
    assert numpy.experiment.algorithm == plain.experiment.algorithm and type(numpy.experiment.algorithm.gamma) is float
    np.testing.assert_array_equal(numpy.x, plain.x)


@pytest.mark.parametrize("method", ["initial", "gradient", "evaluate", "init", "step"])
def test_an_error_in_a_users_method_says_which_and_where(method):
    """It stays what it is; a note names the innermost method, the round and the line."""

    def fails(*given):
        raise KeyError("no such key")

    if method in ("init", "step"):
        task, algorithm = Pull(), type("Mine", (Stepping,), {method: fails})()
    else:
        task, algorithm = type("Mine", (Pull,), {method: fails})(), DPSGD()
    with pytest.raises(KeyError, match="no such key") as error:
        run(task, algorithm)
    when = "" if method in ("initial", "init") else " in round 0"
    line = fails.__code__.co_firstlineno + 1
    called = "fails" if method in ("gradient", "evaluate") else method
    assert error.value.__notes__ == [f"Mine.{called}: failed{when} (test_contracts.py, line {line})"]


@pytest.mark.parametrize("steps", [-3, "3", 2.5, True])
def test_steps_of_an_epoch_that_are_no_whole_number_are_refused(steps):
    task = Pull()
    task.steps_per_epoch = steps
    refused(
        r"^Pull\.steps_per_epoch: .*; expected a whole number, at least 1, or None: the task knows no epochs$", task
    )
